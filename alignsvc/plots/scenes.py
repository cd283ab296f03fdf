"""Pictures of a model fit: images, models, windows, residuals, and what hangs on what."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PatchCollection
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from alignsvc.numerics.models.modelling.fitted_scene import FittedExposure, FittedScene
from alignsvc.numerics.models.modelling.scene_input import SceneExposure
from alignsvc.plots.correlations import draw_correlations
from alignsvc.plots.figures import (
    BLUE,
    SMALL_TEXT,
    TEXT,
    THIN_LINE,
    TWO_COLUMNS_IN,
    VERMILION,
    PlotFigure,
    figure_of,
    matrix_panel,
    new_figure,
    say_nothing_to_show,
    small,
)
from alignsvc.plots.images import LIGHT, SIGNED, Stretch, draw_light

#: Residuals are shown up to so many of their standard deviations.
_RANGE = 5.0
#: Inches of text above and below a row of pictures, and beside them.
_TEXT_IN, _BESIDE_IN = 0.55, 1.0
#: Wings of this part of the peak are what a stamp is looked at for.
_WINGS = 1e-3
#: Pictures in a row.
_IN_A_ROW = 3


def plot_scene(fitted: FittedScene, *, width_in: float = TWO_COLUMNS_IN) -> PlotFigure:
    """Draw image, model and residual of each exposure, a row each, with windows and sources.

    Parameters
    ----------
    fitted : FittedScene
        Of any outcome; without an exposure the figure says why.
    width_in : float
        Of the figure, inches.

    Returns
    -------
    PlotFigure
        Three panels an exposure, axes in its pixels. Crosses in the first are where the sources are
        by the header as corrected; squares are the windows that were fitted. Residuals are in the
        units of the pixels; what is masked, or outside the windows, is yellowish.

    Examples
    --------
    >>> plot_scene(alignsvc.fit_scene(exposures)).savefig("fit.pdf")  # doctest: +SKIP
    """
    rows = len(fitted.exposures)
    if not rows:
        return _nothing(width_in, fitted.message)
    shapes = [one.pixels.shape for one in fitted.exposures]
    figure = new_figure(width_in, sum(_row_height(width_in, _IN_A_ROW, shape) for shape in shapes))
    grid = figure.subplots(rows, _IN_A_ROW, squeeze=False, sharex="row", sharey="row")
    for exposure, panels in zip(fitted.exposures, grid, strict=True):
        _draw_row(list(panels), fitted, exposure)
    return figure


def plot_exposures(
    exposures: Sequence[SceneExposure], *, width_in: float = TWO_COLUMNS_IN
) -> PlotFigure:
    """Draw the images of exposures beside each other; what is masked is yellowish.

    Parameters
    ----------
    exposures : sequence of SceneExposure
    width_in : float
        Of the figure, inches.

    Returns
    -------
    PlotFigure
        A panel an exposure, three in a row, each with its own stretch (asinh).
    """
    if not exposures:
        return _nothing(width_in, "no exposure")
    shape = max((one.shape for one in exposures), key=lambda one: one[0] / one[1])
    figure, panels = _pictures(len(exposures), shape, width_in)
    for k, (exposure, axes) in enumerate(zip(exposures, panels, strict=True)):
        draw_light(axes, np.where(exposure.good, exposure.pixels, np.nan))
        _named(axes, exposure.name or f"exposure {k}")
    return figure


def plot_psfs(fitted: FittedScene, *, width_in: float = TWO_COLUMNS_IN) -> PlotFigure:
    """Draw a star of unit flux as each exposure's model has it, beside each other.

    Parameters
    ----------
    fitted : FittedScene
    width_in : float
        Of the figure, inches.

    Returns
    -------
    PlotFigure
        A panel an exposure, three in a row; stretched so that wings of a thousandth of the peak
        show.
    """
    if not fitted.exposures:
        return _nothing(width_in, fitted.message)
    stamps = [one.psf_stamp for one in fitted.exposures]
    figure, panels = _pictures(len(stamps), stamps[0].shape, width_in)
    for exposure, stamp, axes in zip(fitted.exposures, stamps, panels, strict=True):
        light = np.arcsinh(stamp / (_WINGS * np.max(np.abs(stamp))))
        axes.imshow(light, cmap=LIGHT, vmin=0.0, origin="lower", interpolation="none")
        _named(axes, f"{exposure.name}: a star")
    return figure


def plot_correlations(
    fitted: FittedScene, axes: Axes | None = None, *, width_in: float = TWO_COLUMNS_IN
) -> Figure:
    """Draw the correlations of the exposures' unknowns: which the data tell apart, and which not.

    Parameters
    ----------
    fitted : FittedScene
    axes : Axes or None
        Where to draw; None: in a new figure.
    width_in : float
        Of the new figure, inches.

    Returns
    -------
    Figure

    Raises
    ------
    ValueError
        The fit has no covariance: its message says which unknowns the data do not determine.
    """
    if fitted.fit is None or fitted.fit.covariance is None:
        raise ValueError(f"no covariance to show: {fitted.message}")
    axes = matrix_panel(axes, width_in)
    draw_correlations(
        axes, fitted.fit.covariance, [unknown.name for unknown in fitted.fit.unknowns]
    )
    return figure_of(axes)


def _row_height(width_in: float, columns: int, shape: tuple[int, ...]) -> float:
    return (width_in - _BESIDE_IN) / columns * shape[0] / shape[1] + _TEXT_IN


def _nothing(width_in: float, why: str) -> PlotFigure:
    figure = new_figure(width_in, 1.0)
    axes = figure.add_subplot()
    axes.set_axis_off()
    say_nothing_to_show(axes, why)
    return figure


def _pictures(n: int, shape: tuple[int, ...], width_in: float) -> tuple[PlotFigure, list[Axes]]:
    """Return a figure with room for n pictures, three in a row."""
    rows = -(-n // _IN_A_ROW)
    # One alone would fill a page.
    columns = max(min(n, _IN_A_ROW), 2)
    figure = new_figure(width_in, rows * _row_height(width_in, columns, shape))
    panels = [figure.add_subplot(rows, columns, k + 1) for k in range(n)]
    return figure, panels


def _draw_row(panels: list[Axes], fitted: FittedScene, exposure: FittedExposure) -> None:
    image, model, residual = panels
    stretch = Stretch.of(exposure.pixels)
    draw_light(image, exposure.pixels, stretch)
    draw_light(model, exposure.model, stretch)
    spread = exposure.residual[np.isfinite(exposure.residual)]
    reach = _RANGE * float(np.median(np.abs(spread)) / 0.6745) if spread.size else 1.0
    reach = max(reach, 1e-300)
    left = residual.imshow(
        exposure.residual,
        cmap=SIGNED,
        vmin=-reach,
        vmax=reach,
        origin="lower",
        interpolation="none",
    )
    bar = figure_of(residual).colorbar(left, ax=residual, fraction=0.05)
    bar.set_label("pixels' units", fontsize=SMALL_TEXT)
    bar.ax.tick_params(labelsize=SMALL_TEXT)
    per_pixel = exposure.chi2 / exposure.n_pixels if exposure.n_pixels else np.nan
    _named(image, exposure.name)
    _named(model, "model")
    _named(residual, rf"residual, $\chi^2$/px {per_pixel:.3f}")
    for axes in panels:
        axes.add_collection(_windows(exposure), autolim=False)
    for axes in panels[1:]:
        axes.set_ylabel("")
        axes.tick_params(labelleft=False)
    if fitted.sources is not None:
        at = (exposure.wcs or exposure.header).pixel_from_sky(fitted.sources.sky)
        image.plot(at.x, at.y, "+", color=VERMILION, ms=5, mew=0.8, label="sources")
    ny, nx = exposure.pixels.shape
    image.set(xlim=(-0.5, nx - 0.5), ylim=(-0.5, ny - 0.5))


def _windows(exposure: FittedExposure) -> PatchCollection:
    squares = [
        Rectangle((box.x0 - 0.5, box.y0 - 0.5), box.x1 - box.x0, box.y1 - box.y0)
        for box in exposure.windows
    ]
    return PatchCollection(squares, facecolors="none", edgecolors=BLUE, linewidths=THIN_LINE)


def _named(axes: Axes, title: str) -> None:
    axes.set_title(title)
    axes.set_xlabel("x [px]")
    axes.set_ylabel("y [px]")
    small(axes)
    axes.title.set_fontsize(TEXT)
