"""Sources from near: what an exposure shows, what the others do, and what is left."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes

from alignsvc.plots.figures import (
    ONE_COLUMN_IN,
    SMALL_TEXT,
    PlotFigure,
    finite,
    new_figure,
    say_nothing_to_show,
)
from alignsvc.plots.images import SIGNED, Stretch, draw_light
from alignsvc.run.seeing.exposure_detail import ExposureDetail, SourceCutout

_COLUMNS = ("exposure", "others", "left before", "left after")
#: Inches above the pictures, and beside them.
_ABOVE_IN, _BESIDE_IN = 0.25, 0.35


def plot_cutouts(
    detail: ExposureDetail, *, n_sources: int = 4, width_in: float = ONE_COLUMN_IN
) -> PlotFigure:
    """Draw sources of an exposure, the others' mosaic there, and their differences.

    Parameters
    ----------
    detail : ExposureDetail
        What `alignsvc.detail` returns.
    n_sources : int
        At most so many, the worst first, a row each.
    width_in : float
        Of the figure, inches.

    Returns
    -------
    PlotFigure
        What is left is the exposure less the mosaic of the others, by the input header and by the
        correction: a dipole where one is off. Both have one scale, to the largest of them; light
        is stretched by asinh. Bad pixels are yellowish.

    Examples
    --------
    >>> plot_cutouts(alignsvc.detail("runs/m51", "night2_017"), n_sources=2)  # doctest: +SKIP
    """
    cutouts = detail.cutouts[:n_sources]
    if not cutouts or detail.residuals is None:
        figure = new_figure(width_in, 1.0)
        axes = figure.add_subplot()
        axes.set_axis_off()
        say_nothing_to_show(axes, "; ".join(detail.missing) or "no pixels are kept of it")
        return figure
    side = (width_in - _BESIDE_IN) / len(_COLUMNS)
    figure = new_figure(width_in, side * len(cutouts) + _ABOVE_IN)
    grid = figure.subplots(len(cutouts), len(_COLUMNS), squeeze=False)
    for axes, name in zip(grid[0], _COLUMNS, strict=True):
        axes.set_title(name, fontsize=SMALL_TEXT)
    for panels, cutout in zip(grid, cutouts, strict=True):
        _draw_row(list(panels), cutout)
        source = detail.residuals.source[cutout.row]
        panels[0].set_ylabel(f"source {source}", fontsize=SMALL_TEXT)
    return figure


def _draw_row(panels: list[Axes], cutout: SourceCutout) -> None:
    stretch = Stretch.of(cutout.exposure)
    draw_light(panels[0], cutout.exposure, stretch)
    draw_light(panels[1], cutout.mosaic, stretch)
    left = [cutout.exposure - one for one in (cutout.before, cutout.after)]
    reach = float(np.max(np.abs(finite(np.concatenate(left).ravel())), initial=0.0)) or 1.0
    for axes, image in zip(panels[2:], left, strict=True):
        axes.imshow(
            image, cmap=SIGNED, vmin=-reach, vmax=reach, origin="lower", interpolation="none"
        )
    for axes in panels:
        axes.set(xticks=[], yticks=[])
