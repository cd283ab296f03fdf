"""Figures by matplotlib's objects alone: sizes of journals, colours, panels."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from typing import Any, Literal, TypeAlias

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colorbar import Colorbar
from matplotlib.figure import Figure
from matplotlib.quiver import Quiver
from numpy.typing import NDArray

#: Widths of one column of a journal, and of a page of two, inches.
ONE_COLUMN_IN, TWO_COLUMNS_IN = 3.5, 7.0

#: Okabe and Ito (2008), *Color universal design*: told apart with any kind of sight.
BLUE, SKY_BLUE, ORANGE, VERMILION = "#0072b2", "#56b4e9", "#e69f00", "#d55e00"
GREEN, PURPLE, GREY, BLACK = "#009e73", "#cc79a7", "#999999", "#000000"
#: How an exposure ended, or that it has not, in a run that goes on and in one that does not.
OF_STATUS = {
    "aligned": BLUE,
    "going": SKY_BLUE,
    "not aligned": GREY,
    "skipped": ORANGE,
    "failed": VERMILION,
}

#: What is masked, or where there is no model, on scales from white to black or from blue to red.
BLANK = "#f4e8d0"
#: Of lines that are looked at, and of the many behind them.
STRONG_LINE, THIN_LINE = 1.2, 0.6
#: So many marks are vectors in a file; more are pixels, or a reader of the file would wait.
MOST_VECTORS = 5000
#: Sizes of text, relative to the user's own.
TEXT, SMALL_TEXT = "small", "x-small"
#: Where names of marks may stand in a panel.
Corner: TypeAlias = Literal["best", "upper right", "lower right", "upper center"]
#: Dots per inch of a notebook, and of what is no vector in a file.
_NOTEBOOK_DPI, _FILE_DPI = 110, 300


class PlotFigure(Figure):
    """A figure of matplotlib that notebooks show by themselves, whether or not pyplot was imported.

    ``figure.axes`` holds its panels, to be changed as one likes.
    """

    def savefig(self, fname: Any, **kwargs: Any) -> None:
        """Write the figure; what is no vector in a file has 300 dots per inch unless told."""
        super().savefig(fname, **{"dpi": _FILE_DPI, **kwargs})

    def _repr_png_(self) -> bytes:
        """Return the figure as IPython shows it."""
        return png_bytes(self, _NOTEBOOK_DPI)


def png_bytes(figure: Figure, dpi: float) -> bytes:
    """Return a figure as a PNG file."""
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=dpi, metadata={"Software": None})
    return content.getvalue()


def new_figure(width_in: float, height_in: float) -> PlotFigure:
    """Return an empty figure whose panels leave each other room."""
    return PlotFigure(figsize=(width_in, height_in), layout="constrained")


def panel(axes: Axes | None, width_in: float, ratio: float) -> Axes:
    """Return `axes`, or those of a new figure that is `ratio` times as high as it is wide."""
    if axes is not None:
        return axes
    made = new_figure(width_in, ratio * width_in).add_subplot()
    small(made)
    return made


def matrix_panel(axes: Axes | None, width_in: float) -> Axes:
    """Return `axes`, or those of a new figure for square cells, with names and a scale beside them.

    Room for names is made for the size that the cells turn out to have ("compressed"): for the size
    of all room they would stand beyond the figure's edge by some pixels.
    """
    if axes is not None:
        return axes
    made = panel(None, width_in, 0.85)
    figure_of(made).set_layout_engine("compressed")
    return made


def small(axes: Axes) -> None:
    """Make the texts of a panel fit the columns of a journal."""
    axes.tick_params(which="both", labelsize=SMALL_TEXT, width=THIN_LINE)
    for text in (axes.xaxis.label, axes.yaxis.label, axes.title):
        text.set_fontsize(TEXT)
    for spine in axes.spines.values():
        spine.set_linewidth(THIN_LINE)


def figure_of(axes: Axes) -> Figure:
    """Return the figure to which a panel belongs."""
    found = axes.get_figure(root=True)
    if found is None:
        raise ValueError("axes: they were removed from their figure; make new ones")
    return found


def say_nothing_to_show(axes: Axes, why: str) -> None:
    """Write on an empty panel why it is empty."""
    axes.set(xticks=[], yticks=[])
    axes.text(
        *(0.5, 0.5, why),
        transform=axes.transAxes,
        ha="center",
        va="center",
        wrap=True,
        fontsize=TEXT,
    )


def legend(axes: Axes, corner: Corner = "best") -> None:
    """Name the marks of a panel in a corner of it, small and without a frame that hides others."""
    axes.legend(loc=corner, fontsize=SMALL_TEXT, framealpha=0.85, edgecolor="none")


def legend_above(axes: Axes, marks: Sequence[Artist]) -> None:
    """Name marks in a row above a panel, where they hide nothing."""
    _legend_in_a_row(axes, marks, "lower right", (1.0, 1.0))


def legend_below(axes: Axes, marks: Sequence[Artist]) -> None:
    """Name marks in a row below a panel and the name of its axis."""
    _legend_in_a_row(axes, marks, "upper center", (0.5, -0.16))


def _legend_in_a_row(
    axes: Axes, marks: Sequence[Artist], corner: Corner, at: tuple[float, float]
) -> None:
    """Name marks in a row whose corner lies at a place, in sides of the panel."""
    axes.legend(
        handles=marks,
        loc=corner,
        bbox_to_anchor=at,
        ncols=len(marks),
        borderaxespad=0.2,
        handlelength=1.2,
        columnspacing=1.0,
        fontsize=SMALL_TEXT,
        framealpha=0.85,
        edgecolor="none",
    )


def scale_beside(axes: Axes, shades: ScalarMappable, label: str) -> Colorbar:
    """Draw what the shades of a panel mean beside it, as high as the panel turns out to be."""
    bar = figure_of(axes).colorbar(shades, cax=axes.inset_axes((1.03, 0.0, 0.05, 1.0)))
    bar.set_label(label, fontsize=TEXT)
    bar.ax.tick_params(labelsize=SMALL_TEXT, width=THIN_LINE)
    return bar


def scale_arrow(axes: Axes, arrows: Quiver, length: float, label: str) -> None:
    """Draw an arrow of a known length above a panel, beside its title, which makes room for it."""
    axes.quiverkey(
        *(arrows, 0.84, 1.04, length, label),
        color=BLACK,
        labelpos="W",
        labelsep=0.05,
        fontproperties={"size": SMALL_TEXT},
    )


def round_below(value: float) -> float:
    """Return the largest of 1, 2, 5 times a power of ten that is no larger than `value` > 0."""
    power = 10.0 ** np.floor(np.log10(value))
    return float(max(k * power for k in (1.0, 2.0, 5.0) if k * power <= value * (1 + 1e-9)))


def finite(values: Iterable[float] | NDArray[Any]) -> NDArray[np.float64]:
    """Return those of the values that are finite."""
    array = np.asarray(values, np.float64)
    return array[np.isfinite(array)]
