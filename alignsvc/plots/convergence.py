"""How far exposures moved in each pass, against where the loop ends."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from alignsvc.domain.arrays import FloatArray
from alignsvc.plots.figures import (
    BLACK,
    BLUE,
    MOST_VECTORS,
    ONE_COLUMN_IN,
    STRONG_LINE,
    THIN_LINE,
    VERMILION,
    figure_of,
    finite,
    legend,
    panel,
    say_nothing_to_show,
)
from alignsvc.run.seeing.picture import RunPicture

#: Room on both sides of the first and the last pass, passes.
_MARGIN = 0.3


def plot_convergence(
    picture: RunPicture, axes: Axes | None = None, *, width_in: float = ONE_COLUMN_IN
) -> Figure:
    """Draw how far each exposure moved in each pass, the largest movement, and ``eps_shift``.

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
        A line for each exposure that was solved; it has gaps where one was not, or did not move at
        all. Movements are the largest in its footprint, pixels of the exposure, on a log scale.

    Examples
    --------
    >>> plot_convergence(alignsvc.look("runs/m51")).savefig("convergence.pdf")  # doctest: +SKIP
    """
    axes = panel(axes, width_in, 0.75)
    axes.set_xlabel("pass")
    axes.set_ylabel("movement [px]")
    if not picture.passes:
        say_nothing_to_show(axes, "no pass is solved yet")
        return figure_of(axes)
    numbers = np.array([one.number for one in picture.passes], float)
    moves = movements_px(picture)
    _draw_exposures(axes, numbers, moves)
    largest = np.array([one.movement_px for one in picture.passes])
    shown = np.where(largest > 0, largest, np.nan)
    axes.plot(numbers, shown, "o-", color=BLACK, ms=3, lw=STRONG_LINE, label="largest")
    eps = picture.status.eps_shift_px
    axes.axhline(eps, color=VERMILION, ls="--", lw=STRONG_LINE, label=f"eps_shift, {eps:g} px")
    values = finite([*moves[moves > 0], *shown, eps])
    axes.set_yscale("log")
    axes.set_ylim(values.min() / 2, values.max() * 2)
    axes.set_xlim(numbers[0] - _MARGIN, numbers[-1] + _MARGIN)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    legend(axes)
    return figure_of(axes)


def movements_px(picture: RunPicture) -> FloatArray:
    """Return how far each exposure moved in each pass, shape (exposures, passes); NaN: not solved.

    Rows are in order of id, of all exposures that any pass knew.
    """
    names = np.unique(np.concatenate([np.asarray(one.id, str) for one in picture.passes]))
    moves = np.full((len(names), len(picture.passes)), np.nan)
    for k, one in enumerate(picture.passes):
        moves[np.searchsorted(names, one.id), k] = one.move_px
    return moves


def _draw_exposures(axes: Axes, numbers: FloatArray, moves: FloatArray) -> None:
    shown = np.where(moves > 0, moves, np.nan)
    shown = shown[np.isfinite(shown).any(axis=1)]
    n = len(shown)
    if not n:
        return
    # Many lines are a cloud whose density shows.
    alpha = float(np.clip(60 / n, 0.05, 0.7))
    passes = np.broadcast_to(numbers, shown.shape)
    lines = LineCollection(
        list(np.stack([passes, shown], axis=2)),
        colors=BLUE,
        linewidths=THIN_LINE,
        alpha=alpha,
        rasterized=shown.size > MOST_VECTORS,
    )
    axes.add_collection(lines, autolim=False)
    axes.plot(
        *(passes.ravel(), shown.ravel(), "."),
        color=BLUE,
        ms=2,
        alpha=alpha,
        rasterized=shown.size > MOST_VECTORS,
    )
    # One faint line of many would hardly be seen in the legend.
    axes.plot([], [], color=BLUE, lw=THIN_LINE, label=f"each of {n}" if n > 1 else "the exposure")
