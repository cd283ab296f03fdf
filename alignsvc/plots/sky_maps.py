"""Where exposures lie on the sky, and where their corrections moved them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from alignsvc.domain.arrays import FloatArray, IntArray
from alignsvc.domain.geometry import Points, SkyPoints, TangentPlane
from alignsvc.plots.figures import (
    BLACK,
    GREY,
    MOST_VECTORS,
    OF_STATUS,
    ONE_COLUMN_IN,
    SKY_BLUE,
    TEXT,
    THIN_LINE,
    figure_of,
    legend_above,
    panel,
    round_below,
    say_nothing_to_show,
    scale_arrow,
    scale_beside,
)
from alignsvc.run.planning.outlines import Outlines
from alignsvc.run.seeing.pass_columns import PassColumns
from alignsvc.run.seeing.picture import RunPicture

_NO_MAP = "no map: the run has not begun,\nor an earlier version of alignsvc began it"
#: The longest arrow, and the room around all outlines, in sides of the map.
_ARROW, _MARGIN = 0.15, 0.05
#: And the longest in mean distances of exposures, as many would cover each other; from so many
#: exposures on it is that of 95 %, since one that is far off would make dots of all others.
_ARROW_SPACINGS, _MANY = 2.5, 20
#: The shorter side of a map, in longer ones.
_NARROWEST = 0.5
#: Outlines are drawn behind arrows unless there are more.
_MOST_BEHIND = 300
#: Outlines that are faint where there are many.
_FAINT = frozenset({"aligned", "going", "not aligned"})


def plot_footprints(
    picture: RunPicture,
    axes: Axes | None = None,
    *,
    colour: Literal["status", "shift"] = "status",
    width_in: float = ONE_COLUMN_IN,
) -> Figure:
    """Draw the outlines of all exposures on the sky.

    Parameters
    ----------
    picture : RunPicture
        What `alignsvc.look` returns.
    axes : Axes or None
        Where to draw; None: in a new figure.
    colour : {"status", "shift"}
        By how the exposure ended, or by how far its correction moves its middle after the pass
        that `RunPicture.kept_pass` is, mas (grey: not solved).
    width_in : float
        Of the new figure, inches.

    Returns
    -------
    Figure
        Gnomonic, arcmin from the mean of the exposures' middles, north up and east left.

    Examples
    --------
    >>> plot_footprints(alignsvc.look("runs/m51"), colour="shift")  # doctest: +SKIP
    """
    if colour not in ("status", "shift"):
        raise ValueError(f"footprints: colour {colour!r} wanted, there are 'status' and 'shift'")
    sky = _Sky.of(picture.outlines)
    axes = _map(sky, axes, width_in)
    if sky.polygons and colour == "shift":
        _draw_by_shift(axes, sky, picture)
    elif sky.polygons:
        _draw_by_status(axes, sky, picture)
    return figure_of(axes)


def plot_corrections(
    picture: RunPicture,
    axes: Axes | None = None,
    *,
    error_times: float = 0.0,
    width_in: float = ONE_COLUMN_IN,
) -> Figure:
    """Draw where corrections move the middle of each exposure.

    Parameters
    ----------
    picture : RunPicture
        What `alignsvc.look` returns.
    axes : Axes or None
        Where to draw; None: in a new figure.
    error_times : float
        At the tips of the arrows are bars of so many standard deviations east, west, north and
        south, at the arrows' own scale; 0: none.
    width_in : float
        Of the new figure, inches.

    Returns
    -------
    Figure
        Arrows are totals since the input headers after the pass that `RunPicture.kept_pass` is, in
        mas by the scale arrow above the map; the map is that of `plot_footprints`.

    Examples
    --------
    >>> plot_corrections(alignsvc.look("runs/m51"), error_times=100)  # doctest: +SKIP
    """
    sky = _Sky.of(picture.outlines)
    axes = _map(sky, axes, width_in)
    if not sky.polygons:
        return figure_of(axes)
    kept = picture.kept_pass
    if kept is None:
        say_nothing_to_show(axes, "no pass is solved yet")
        return figure_of(axes)
    if len(sky.polygons) <= _MOST_BEHIND:
        behind = LineCollection(sky.polygons, linewidths=THIN_LINE, colors=GREY, alpha=0.4)
        axes.add_collection(behind, autolim=False)
    shifts = _Shifts.of(kept, picture.outlines, sky)
    if shifts.longest_mas == 0.0:
        say_nothing_to_show(axes, "nothing was moved")
        return figure_of(axes)
    mas_per_arcmin = _draw_arrows(axes, sky, shifts)
    said = rf", bars of {error_times:g} $\sigma$" if error_times > 0 else ""
    axes.set_title(f"pass {kept.number}{said}", loc="left", fontsize=TEXT)
    if error_times > 0:
        segments = shifts.bars(error_times, mas_per_arcmin)
        bars = LineCollection(segments, colors=SKY_BLUE, linewidths=THIN_LINE, zorder=4)
        axes.add_collection(bars, autolim=False)
    return figure_of(axes)


@dataclass(frozen=True, eq=False)
class _Sky:
    """Exposures in the plane about the middle of all, arcmin east and north.

    `polygons` are closed; `owner` is the row of the exposure of each; `middles` are NaN where an
    exposure is on the other side of the sky.
    """

    id: NDArray[Any]
    polygons: list[FloatArray]
    owner: IntArray
    middles: Points

    @classmethod
    def of(cls, outlines: Outlines) -> _Sky:
        if not len(outlines.id):
            nothing = np.empty(0)
            return cls(outlines.id, [], outlines.owner, Points(nothing, nothing))
        plane = _plane_about(SkyPoints(outlines.middle_ra, outlines.middle_dec))
        points = np.column_stack(plane.from_sky(SkyPoints(outlines.ra, outlines.dec))) / 60.0
        parts = np.split(points, outlines.first[1:-1])
        seen = np.array([bool(np.isfinite(part).all()) for part in parts], bool)
        middles = plane.from_sky(SkyPoints(outlines.middle_ra, outlines.middle_dec))
        return cls(
            outlines.id,
            [
                np.vstack([part, part[:1]])
                for part, is_seen in zip(parts, seen, strict=True)
                if is_seen
            ],
            outlines.owner[seen],
            Points(middles.x / 60.0, middles.y / 60.0),
        )

    @property
    def box(self) -> tuple[FloatArray, FloatArray]:
        """The corners with the least and the largest coordinates."""
        points = np.vstack(self.polygons)
        return points.min(axis=0), points.max(axis=0)

    @property
    def side(self) -> float:
        """The longer side of the box."""
        low, high = self.box
        return float((high - low).max())


def _plane_about(sky: SkyPoints) -> TangentPlane:
    """Return the plane whose tangent point is the mean direction of points."""
    ra, dec = np.radians(sky.ra), np.radians(sky.dec)
    x, y, z = (
        float(np.mean(part))
        for part in (np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec))
    )
    return TangentPlane(
        float(np.degrees(np.arctan2(y, x)) % 360.0),
        float(np.degrees(np.arctan2(z, np.hypot(x, y)))),
    )


def _map(sky: _Sky, axes: Axes | None, width_in: float) -> Axes:
    """Return a panel with the axes of a map; it says so if there is nothing to map."""
    if not sky.polygons:
        axes = panel(axes, width_in, 0.8)
        say_nothing_to_show(axes, _NO_MAP)
        return axes
    low, high = sky.box
    middle = 0.5 * (low + high)
    # A strip has sky beside it, or there would be no room for the names of its axes.
    half = np.maximum(0.5 * (high - low), _NARROWEST * 0.5 * sky.side) + _MARGIN * sky.side
    axes = panel(axes, width_in, float(0.8 * half[1] / half[0] + 0.2))
    axes.set_xlim(middle[0] + half[0], middle[0] - half[0])
    axes.set_ylim(middle[1] - half[1], middle[1] + half[1])
    axes.set_aspect("equal")
    axes.set_xlabel("east [arcmin]")
    axes.set_ylabel("north [arcmin]")
    return axes


def _draw_arrows(axes: Axes, sky: _Sky, shifts: _Shifts) -> float:
    """Draw the arrows and their scale; return how many mas an arcmin of the map stands for."""
    n = len(shifts.at.x)
    length = min(_ARROW * sky.side, _ARROW_SPACINGS * sky.side / np.sqrt(n))
    mas_per_arcmin = shifts.longest_mas / float(length)
    arrows = axes.quiver(
        *(shifts.at.x, shifts.at.y, shifts.mas.x, shifts.mas.y),
        color=BLACK,
        angles="xy",
        scale_units="xy",
        scale=mas_per_arcmin,
        width=0.005 if n <= _MOST_BEHIND else 0.002,
        zorder=3,
    )
    key = round_below(shifts.longest_mas)
    scale_arrow(axes, arrows, key, f"{key:g} mas")
    return mas_per_arcmin


def _draw_by_status(axes: Axes, sky: _Sky, picture: RunPicture) -> None:
    status = {one.id: one.how for one in picture.exposures}
    kinds = [status[str(name)] for name in sky.id[sky.owner]]
    # What is not aligned lies on top, and is not faint: it is what one looks for.
    order = np.argsort([list(OF_STATUS).index(kind) for kind in kinds], kind="stable")
    faint = float(np.clip(300 / len(kinds), 0.4, 1.0))
    lines = _outlines(axes, sky, order)
    lines.set_color(
        [to_rgba(OF_STATUS[kinds[k]], faint if kinds[k] in _FAINT else 1.0) for k in order]
    )
    counts = Counter(status.values())
    marks = [
        Line2D([], [], color=colour, label=f"{kind} ({counts[kind]})")
        for kind, colour in OF_STATUS.items()
        if counts[kind]
    ]
    legend_above(axes, marks)


def _draw_by_shift(axes: Axes, sky: _Sky, picture: RunPicture) -> None:
    length = np.full(len(sky.id), np.nan)
    if (kept := picture.kept_pass) is not None:
        moved = kept.displacement_arcsec(picture.outlines.middles_in_planes(kept.id))
        rows = picture.outlines.rows_of(kept.id)
        length[rows[rows >= 0]] = 1e3 * np.hypot(moved.x, moved.y)[rows >= 0]
    values = length[sky.owner]
    # The largest lie on top.
    order = np.argsort(np.nan_to_num(values, nan=-1.0), kind="stable")
    lines = _outlines(axes, sky, order)
    lines.set_cmap(colormaps["viridis"].with_extremes(bad=GREY))
    lines.set_array(np.ma.masked_invalid(values[order]))
    scale_beside(axes, lines, "shift [mas]")


def _outlines(axes: Axes, sky: _Sky, order: IntArray) -> LineCollection:
    """Draw the outlines, the last of `order` on top of all others."""
    lines = LineCollection(
        [sky.polygons[k] for k in order],
        linewidths=2 * THIN_LINE if len(order) <= _MOST_BEHIND else THIN_LINE,
        rasterized=sum(map(len, sky.polygons)) > 2 * MOST_VECTORS,
    )
    axes.add_collection(lines, autolim=False)
    return lines


@dataclass(frozen=True, eq=False)
class _Shifts:
    """What a pass does to exposures: where they lie (arcmin), how far they move (mas), errors."""

    at: Points
    mas: Points
    error_mas: FloatArray

    @classmethod
    def of(cls, last: PassColumns, outlines: Outlines, sky: _Sky) -> _Shifts:
        moved = last.displacement_arcsec(outlines.middles_in_planes(last.id))
        rows = outlines.rows_of(last.id)
        at = Points(sky.middles.x[rows], sky.middles.y[rows])
        there = (rows >= 0) & np.isfinite(at.x) & np.isfinite(moved.x) & np.isfinite(moved.y)
        return cls(
            Points(at.x[there], at.y[there]),
            Points(1e3 * moved.x[there], 1e3 * moved.y[there]),
            1e3 * last.error_arcsec[there],
        )

    @property
    def longest_mas(self) -> float:
        """The longest that sets the scale of all; 0 if nothing was moved."""
        length = np.hypot(self.mas.x, self.mas.y)
        longest = float(np.max(length, initial=0.0))
        return longest if len(length) < _MANY else float(np.quantile(length, 0.95)) or longest

    def bars(self, times: float, mas_per_arcmin: float) -> list[FloatArray]:
        """Return the bars at the tips of the arrows: of the first east and north, of the next..."""
        tip = np.column_stack(self.at) + np.column_stack(self.mas) / mas_per_arcmin
        half = (times / mas_per_arcmin * self.error_mas)[:, :, None] * np.eye(2)
        ends = np.stack([tip[:, None] - half, tip[:, None] + half], axis=2)
        return list(ends.reshape(-1, 2, 2))
