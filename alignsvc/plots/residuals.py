"""How far sources are from where they should be: before and after, one by one, over errors."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, NullFormatter

from alignsvc.domain.outcome import Verdict
from alignsvc.domain.quality import DisplacementFlag
from alignsvc.plots.figures import (
    BLACK,
    BLUE,
    GREY,
    MOST_VECTORS,
    ONE_COLUMN_IN,
    ORANGE,
    SMALL_TEXT,
    STRONG_LINE,
    TEXT,
    VERMILION,
    figure_of,
    legend,
    legend_below,
    panel,
    round_below,
    say_nothing_to_show,
    scale_arrow,
)
from alignsvc.run.report.pulls import Pulls
from alignsvc.run.seeing.exposure_detail import SourceResiduals
from alignsvc.run.seeing.picture import RunPicture

_MARKS = {
    Verdict.IMPROVED: ("o", BLUE),
    Verdict.UNCHANGED: ("s", ORANGE),
    Verdict.WORSE: ("^", VERMILION),
}
#: Ticks stand at 1, 2, 5 of each decade unless the axis is longer.
_DECADES = 200.0
#: The longest arrow, in sides of the chip.
_ARROW = 0.12


def plot_held_out(
    picture: RunPicture, axes: Axes | None = None, *, width_in: float = ONE_COLUMN_IN
) -> Figure:
    """Draw how far held-out sources of each exposure were from the others before, and are after.

    Parameters
    ----------
    picture : RunPicture
        What `alignsvc.look` returns.
    axes : Axes or None
        Where to draw; None: in a new figure.
    width_in : float
        Of the new figure, inches.

    Returns
    -------
    Figure
        A mark for each exposure that was judged, by its verdict: typical residual of sources that
        the fit did not use, per axis, pixels of the exposure. Below the line it is smaller now.
    """
    axes = panel(axes, width_in, 0.95)
    axes.set_xlabel("held-out residual before [px]")
    axes.set_ylabel("after [px]")
    verdicts = list(picture.status.state.verdicts.values())
    untested = sum(one.verdict is Verdict.UNTESTED for one in verdicts)
    ends: list[float] = []
    for verdict, (marker, colour) in _MARKS.items():
        those = [(one.before_px, one.after_px) for one in verdicts if one.verdict is verdict]
        if those:
            before, after = np.array(those).T
            axes.scatter(
                *(before, after),
                s=16 if len(verdicts) <= 500 else 5,
                marker=marker,
                color=colour,
                alpha=0.8,
                linewidths=0,
                label=f"{verdict.value} ({len(those)})",
                rasterized=len(those) > MOST_VECTORS,
            )
            ends += [before.min(), before.max(), after.min(), after.max()]
    ends = [one for one in ends if one > 0]
    if not ends:
        say_nothing_to_show(axes, "no exposure has been judged by held-out sources")
        return figure_of(axes)
    low, high = min(ends) / 1.5, max(ends) * 1.5
    axes.plot([low, high], [low, high], color=GREY, lw=STRONG_LINE, ls="--", label="no change")
    if untested:
        axes.plot([], [], " ", label=f"untested ({untested})")
    axes.set(xscale="log", yscale="log", xlim=(low, high), ylim=(low, high), aspect="equal")
    parts = (1.0, 2.0, 5.0) if high / low < _DECADES else (1.0,)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(LogLocator(subs=parts))
        axis.set_major_formatter("{x:g}")
        axis.set_minor_formatter(NullFormatter())
    legend(axes)
    return figure_of(axes)


def plot_pulls(
    pulls: Pulls, axes: Axes | None = None, *, width_in: float = ONE_COLUMN_IN
) -> Figure:
    """Draw the histogram of residuals over their errors, and the unit normal.

    Parameters
    ----------
    pulls : Pulls
        What `alignsvc.pulls` returns; its `about` says what they are.
    axes : Axes or None
        Where to draw; None: in a new figure.
    width_in : float
        Of the new figure, inches.

    Returns
    -------
    Figure
        If stated errors are right the histogram follows the curve.
    """
    axes = panel(axes, width_in, 0.75)
    width = float(pulls.edges[1] - pulls.edges[0])
    axes.stairs(
        pulls.counts, pulls.edges, fill=True, color=BLUE, alpha=0.45, label="held-out sources"
    )
    axes.stairs(pulls.counts, pulls.edges, color=BLUE, lw=STRONG_LINE)
    at = np.linspace(pulls.edges[0], pulls.edges[-1], 201)
    normal = pulls.n * width * np.exp(-0.5 * at**2) / np.sqrt(2 * np.pi)
    axes.plot(at, normal, color=BLACK, lw=STRONG_LINE, label="unit normal")
    axes.set_xlim(pulls.edges[0], pulls.edges[-1])
    axes.set_ylim(bottom=0.0)
    axes.set_xlabel("residual / its error")
    axes.set_ylabel(f"number in {width:g}")
    beyond = f"\n{pulls.n_outside} beyond" if pulls.n_outside else ""
    axes.text(
        *(
            0.03,
            0.96,
            f"n = {pulls.n}\nrms {pulls.rms:.2f}\n68 % within {pulls.half_width_68:.2f}{beyond}",
        ),
        transform=axes.transAxes,
        va="top",
        fontsize=SMALL_TEXT,
    )
    legend(axes, "upper right")
    return figure_of(axes)


def plot_exposure_residuals(
    residuals: SourceResiduals,
    axes: Axes | None = None,
    *,
    chip: int = 0,
    width_in: float = ONE_COLUMN_IN,
) -> Figure:
    """Draw where the sources of a chip lie from those of the other exposures.

    Parameters
    ----------
    residuals : SourceResiduals
        What `alignsvc.residuals` returns.
    axes : Axes or None
        Where to draw; None: in a new figure.
    chip : int
        Which of the exposure's chips, from 0.
    width_in : float
        Of the new figure, inches.

    Returns
    -------
    Figure
        Arrows are what the correction of the last pass leaves, by the scale arrow above the
        chip; those of held-out sources are orange. Sources that the measurement rejected are
        counted, not drawn.

    Examples
    --------
    >>> plot_exposure_residuals(alignsvc.residuals("runs/m51", "night2_017"))  # doctest: +SKIP
    """
    rows = residuals.chip == chip
    held_out = (residuals.flags == DisplacementFlag.HELD_OUT)[rows]
    sound = held_out | (residuals.flags == DisplacementFlag.GOOD)[rows]
    sound &= np.isfinite(residuals.residual_px[rows]).all(axis=1)
    held_out = held_out[sound]
    axes = panel(axes, width_in, 1.0)
    axes.set_xlabel("x [px]")
    axes.set_ylabel("y [px]")
    axes.set_title(f"chip {chip}", loc="left", fontsize=TEXT)
    if not sound.any():
        say_nothing_to_show(axes, f"no sound measurement on chip {chip}")
        return figure_of(axes)
    x, y = residuals.x[rows][sound], residuals.y[rows][sound]
    offset_mpx = 1e3 * residuals.residual_px[rows][sound]
    length = np.hypot(offset_mpx[:, 0], offset_mpx[:, 1])
    side = float(max(np.ptp(x), np.ptp(y), 1.0))
    # One wild source would make dots of all others.
    typical = float(np.quantile(length, 0.95)) or float(length.max()) or 1.0
    arrows = axes.quiver(
        *(x, y, offset_mpx[:, 0], offset_mpx[:, 1]),
        color=[ORANGE if out else BLUE for out in held_out],
        angles="xy",
        scale_units="xy",
        scale=typical / (_ARROW * side),
        width=0.004,
    )
    key = round_below(typical)
    scale_arrow(axes, arrows, key, f"{key / 1e3:g} px")
    axes.set_xlim(x.min() - _ARROW * side, x.max() + _ARROW * side)
    axes.set_ylim(y.min() - _ARROW * side, y.max() + _ARROW * side)
    axes.set_aspect("equal")
    _name_arrows(axes, int((~held_out).sum()), int(held_out.sum()), int((~sound).sum()))
    return figure_of(axes)


def _name_arrows(axes: Axes, n_used: int, n_held_out: int, n_rejected: int) -> None:
    marks = [
        Line2D([], [], color=BLUE, lw=2, label=f"used ({n_used})"),
        Line2D([], [], color=ORANGE, lw=2, label=f"held out ({n_held_out})"),
        Line2D([], [], lw=0, label=f"rejected ({n_rejected})"),
    ]
    legend_below(axes, marks)
