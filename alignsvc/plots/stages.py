"""When each stage of a run went on."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from alignsvc.plots.figures import (
    BLACK,
    BLUE,
    GREY,
    SKY_BLUE,
    SMALL_TEXT,
    TEXT,
    THIN_LINE,
    TWO_COLUMNS_IN,
    VERMILION,
    figure_of,
    legend_above,
    panel,
    say_nothing_to_show,
)
from alignsvc.run.seeing.picture import RunPicture
from alignsvc.run.status.stage_times import StageTime

#: Part of a row that a bar fills.
_BAR = 0.6
#: Inches that a row takes, and what stands above and below all rows.
_ROW_IN, _REST_IN = 0.24, 0.6
#: Units of time by their seconds; the first in which there are three or more.
_UNITS = ((86400.0, "d"), (3600.0, "h"), (60.0, "min"), (1.0, "s"))
_FEWEST = 3.0
_COLOURS = {"ended": BLUE, "goes on": SKY_BLUE, "had failures": VERMILION, "broke off": BLACK}


def plot_stages(
    picture: RunPicture, axes: Axes | None = None, *, width_in: float = TWO_COLUMNS_IN
) -> Figure:
    """Draw when each stage went on, a row for each kind and a bar for each time.

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
        Time is since the first stage began, so that what passed between two drivers shows too. A
        stage that goes on ends now; one that broke off, with its driver, has no length, as nobody
        knows its end.
    """
    names = list(dict.fromkeys(one.stage for one in picture.stages))
    axes = panel(axes, width_in, (_REST_IN + _ROW_IN * max(len(names), 3)) / width_in)
    if not picture.stages:
        axes.set_xlabel("time [s]")
        say_nothing_to_show(axes, "no stage has begun")
        return figure_of(axes)
    stages, now_s = picture.stages, picture.status.now_s
    hows = [_how(one, is_driven=picture.status.standing.is_going) for one in stages]
    start = stages[0].began_s
    ends = [
        max(now_s, one.began_s) if how == "goes on" else one.ended_s or one.began_s
        for one, how in zip(stages, hows, strict=True)
    ]
    length = max(ends) - start
    unit, name = next((u, n) for u, n in _UNITS if length >= _FEWEST * u or u == 1.0)
    for how, colour in _COLOURS.items():
        those = [k for k, found in enumerate(hows) if found == how]
        if those:
            axes.barh(
                [names.index(stages[k].stage) for k in those],
                [(ends[k] - stages[k].began_s) / unit for k in those],
                left=[(stages[k].began_s - start) / unit for k in those],
                height=_BAR,
                color=colour,
                edgecolor=colour,
                linewidth=0.8,  # the shortest can still be seen
                label=how,
            )
    _mark_passes(axes, stages, start, unit)
    axes.set_yticks(range(len(names)), [one.replace("_", " ") for one in names], fontsize=TEXT)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set_xlim(0.0, max(length / unit, 1e-3) * 1.01)
    axes.set_xlabel(f"time since the first stage began [{name}]")
    if set(hows) != {"ended"}:
        legend_above(axes, axes.get_legend_handles_labels()[0])
    return figure_of(axes)


def _mark_passes(axes: Axes, stages: Sequence[StageTime], start: float, unit: float) -> None:
    """Draw a line where each pass began, with its number."""
    begun = {one.pass_number: one.began_s for one in reversed(stages) if one.pass_number}
    for number, began_s in sorted(begun.items()):
        at = (began_s - start) / unit
        axes.axvline(at, color=GREY, lw=THIN_LINE, ls=":", zorder=0)
        axes.text(
            *(at, 1.01, f"pass {number}" if number == min(begun) else f"{number}"),
            transform=axes.get_xaxis_transform(),
            fontsize=SMALL_TEXT,
            va="bottom",
        )


def _how(one: StageTime, *, is_driven: bool) -> str:
    if one.ended_s is not None:
        return "had failures" if one.n_failed else "ended"
    return "goes on" if is_driven and not one.is_lost else "broke off"
