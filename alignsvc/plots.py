"""Pictures of a model fit: images, models, windows, residuals, and what hangs on what.

All functions return grids or figures of bokeh, which a notebook shows (`bokeh.io.show`);
`page` makes a file of them that needs no net.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from itertools import groupby

import numpy as np
from bokeh.embed import file_html
from bokeh.layouts import column, gridplot
from bokeh.models import (
    ColumnDataSource,
    FactorRange,
    GridPlot,
    LayoutDOM,
    LinearColorMapper,
    Range1d,
)
from bokeh.models.annotations import ColorBar
from bokeh.models.widgets import Div
from bokeh.palettes import Greys256, RdBu11, interp_palette
from bokeh.plotting import figure
from bokeh.resources import INLINE
from bokeh.transform import transform

from alignsvc.domain.arrays import FloatArray
from alignsvc.numerics.models.fitted_scene import FittedExposure, FittedScene
from alignsvc.numerics.models.scene_input import SceneExposure

#: Pixels of the screen along a picture.
_SIZE = 320
#: And what a scale beside it takes.
_BAR = 45
#: Where no model is, and what is masked.
_BLANK = "#f4e8d0"
_BLUE_RED = interp_palette(RdBu11, 255)
#: Light is stretched by asinh above so many standard deviations of the sky.
_SOFTENING = 2.0
#: Residuals are shown up to so many of their standard deviations.
_RANGE = 5.0


def plot_scene(fitted: FittedScene) -> GridPlot:
    """Return image, model and residual of each exposure, a row each, with windows and sources.

    Parameters
    ----------
    fitted : FittedScene
        Of any outcome; without an exposure the grid is empty.
    """
    rows = [_row(fitted, exposure) for exposure in fitted.exposures]
    return gridplot([_as_layouts(row) for row in rows])


def plot_exposures(exposures: Sequence[SceneExposure]) -> GridPlot:
    """Return the images of exposures beside each other; what is masked is blank."""
    row = []
    for k, exposure in enumerate(exposures):
        image = np.where(exposure.good, exposure.pixels, np.nan)
        stretch = _Stretch.of(image)
        row.append(_picture(exposure.name or f"exposure {k}", stretch(image), stretch.mapper))
    return gridplot([_as_layouts(row)])


def plot_psfs(fitted: FittedScene) -> GridPlot:
    """Return a star of unit flux as each exposure's model has it, beside each other."""
    row = []
    for exposure in fitted.exposures:
        stamp = exposure.psf_stamp
        # Wings of a thousandth of the peak are what a stamp is looked at for.
        light = np.arcsinh(stamp / (1e-3 * np.max(np.abs(stamp))))
        mapper = LinearColorMapper(palette=Greys256[::-1], low=0, high=float(light.max()))
        row.append(_picture(f"{exposure.name}: a star", light, mapper))
    return gridplot([_as_layouts(row)] if row else [])


def plot_correlations(fitted: FittedScene) -> figure:
    """Return the correlations of the exposures' unknowns: which the data tell apart, and which not.

    Raises
    ------
    ValueError
        The fit has no covariance: its message says which unknowns the data do not determine.
    """
    if fitted.fit is None or fitted.fit.covariance is None:
        raise ValueError(f"no covariance to show: {fitted.message}")
    error = np.sqrt(np.diagonal(fitted.fit.covariance))
    names = [unknown.name for unknown in fitted.fit.unknowns]
    correlation = fitted.fit.covariance / np.outer(error, error)
    mapper = LinearColorMapper(palette=_BLUE_RED, low=-1, high=1)
    picture = figure(
        title="correlations",
        x_range=FactorRange(factors=names),
        y_range=FactorRange(factors=names[::-1]),
        width=2 * _SIZE,
        height=2 * _SIZE,
    )
    first, second = (axis.ravel() for axis in np.meshgrid(names, names))
    cells = ColumnDataSource({"x": first, "y": second, "value": correlation.ravel()})
    shade = transform("value", mapper)
    picture.rect("x", "y", 1, 1, fill_color=shade, line_color=None, source=cells)
    picture.xaxis.major_label_orientation = 1.2
    picture.add_layout(ColorBar(color_mapper=mapper), "right")
    return picture


def page(title: str, parts: Mapping[str, GridPlot | figure | str]) -> str:
    """Return an HTML page of pictures and texts under headings, whole in itself.

    Parameters
    ----------
    title : str
    parts : mapping of headings to what stands below each
        Each line of a str is a paragraph; those that begin with a blank are shown as they are.
    """
    column_of = [
        one
        for heading, part in parts.items()
        for one in (
            Div(text=f"<h2>{escape(heading)}</h2>", width=3 * _SIZE),
            _paragraph(part) if isinstance(part, str) else part,
        )
    ]
    return file_html(column(*column_of), INLINE, title)


def _paragraph(text: str) -> Div:
    blocks = []
    for as_it_is, lines in groupby(text.splitlines(), lambda line: line.startswith(" ")):
        tag, between = ("pre", "\n") if as_it_is else ("p", "</p><p>")
        blocks.append(f"<{tag}>{between.join(map(escape, lines))}</{tag}>")
    return Div(text="".join(blocks), width=3 * _SIZE)


@dataclass(frozen=True, slots=True)
class _Stretch:
    """Light to shades: linear in the noise, logarithmic in stars."""

    level: float
    noise: float
    high: float

    @classmethod
    def of(cls, image: FloatArray) -> _Stretch:
        values = image[np.isfinite(image)]
        if not values.size:
            return cls(0.0, 1.0, 1.0)
        low, level, top = (float(v) for v in np.percentile(values, [16, 50, 100]))
        noise = max(level - low, 1e-9 * max(abs(level), 1.0))
        return cls(level, noise, float(np.arcsinh((top - level) / (_SOFTENING * noise))))

    def __call__(self, image: FloatArray) -> FloatArray:
        return np.asarray(np.arcsinh((image - self.level) / (_SOFTENING * self.noise)))

    @property
    def mapper(self) -> LinearColorMapper:
        return LinearColorMapper(
            palette=Greys256[::-1], low=-1.5, high=max(self.high, 1.5), nan_color=_BLANK
        )


def _as_layouts(row: list[figure]) -> list[LayoutDOM | None]:
    return [*row]


def _row(fitted: FittedScene, exposure: FittedExposure) -> list[figure]:
    stretch = _Stretch.of(exposure.pixels)
    spread = exposure.residual[np.isfinite(exposure.residual)]
    reach = _RANGE * float(np.median(np.abs(spread)) / 0.6745) if spread.size else 1.0
    signed = LinearColorMapper(
        palette=_BLUE_RED, low=-max(reach, 1e-300), high=max(reach, 1e-300), nan_color=_BLANK
    )
    per_pixel = exposure.chi2 / exposure.n_pixels if exposure.n_pixels else np.nan
    row = [
        _picture(exposure.name, stretch(exposure.pixels), stretch.mapper),
        _picture(f"{exposure.name}: model", stretch(exposure.model), stretch.mapper),
        _picture(f"{exposure.name}: residual, chi2/px {per_pixel:.3f}", exposure.residual, signed),
    ]
    row[2].add_layout(ColorBar(color_mapper=signed, width=8), "right")
    row[2].width = _SIZE + _BAR
    for picture in row:
        # The same place in all three when one is moved.
        picture.x_range, picture.y_range = row[0].x_range, row[0].y_range
        picture.quad(
            left=[box.x0 - 0.5 for box in exposure.windows],
            right=[box.x1 - 0.5 for box in exposure.windows],
            bottom=[box.y0 - 0.5 for box in exposure.windows],
            top=[box.y1 - 0.5 for box in exposure.windows],
            fill_color=None,
            line_color="#2171b5",
        )
    if fitted.sources is not None:
        at = (exposure.wcs or exposure.header).pixel_from_sky(fitted.sources.sky)
        row[0].scatter(at.x, at.y, marker="cross", size=9, color="#cb181d")
    return row


def _picture(title: str, image: FloatArray, mapper: LinearColorMapper) -> figure:
    """Return an image whose pixels' middles have whole coordinates."""
    ny, nx = image.shape
    picture = figure(
        title=title,
        width=_SIZE,
        height=_SIZE,
        match_aspect=True,
        x_range=Range1d(start=-0.5, end=nx - 0.5),
        y_range=Range1d(start=-0.5, end=ny - 0.5),
        tools="pan,wheel_zoom,reset,save",
    )
    pixels = [image.astype(np.float32)]
    # bokeh's own types leave out what its documentation has for images.
    picture.image(pixels, -0.5, -0.5, nx, ny, color_mapper=mapper)  # type: ignore[call-arg]
    return picture
