"""Matrices of correlations: which numbers the data tell apart, and which not."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from alignsvc.domain.arrays import FloatArray
from alignsvc.domain.correction import PARAMETERS, Correction, Geometry
from alignsvc.plots.figures import ONE_COLUMN_IN, SMALL_TEXT, figure_of, matrix_panel, scale_beside

#: Numbers stand in the cells of a matrix of at most so many rows.
_MOST_WRITTEN = 8
_NAMES = {
    Geometry.SHIFT: ("shift east", "shift north"),
    Geometry.RSHIFT: ("shift east", "shift north", "rotation"),
    Geometry.RSCALE: ("shift east", "shift north", "rotation", "scale"),
    Geometry.GENERAL: ("shift east", "shift north", *PARAMETERS[2:]),
}


def plot_correction_correlations(
    correction: Correction, axes: Axes | None = None, *, width_in: float = ONE_COLUMN_IN
) -> Figure:
    """Draw the correlations of the parameters of a correction.

    Parameters
    ----------
    correction : Correction
        Of an exposure of a run, or of a model fit.
    axes : Axes or None
        Where to draw; None: in a new figure.
    width_in : float
        Of the new figure, inches.

    Returns
    -------
    Figure
        Of what was free: shifts, and rotation, scale or the elements of the matrix. The standard
        deviation of each stands beside its name: mas, and 1e-6 of what has no unit (a rotation by
        1e-6 rad is 0.2 arcsec).

    Raises
    ------
    ValueError
        It has no covariance, as that of an exposure that holds the frame.

    Examples
    --------
    >>> result = alignsvc.align("align.yaml")  # doctest: +SKIP
    >>> plot_correction_correlations(result.corrections[1].correction)  # doctest: +SKIP
    """
    if not correction.covariance.any():
        raise ValueError("no covariance to show: the correction was not fitted")
    names = _NAMES[correction.geometry]
    # What is free, of the six that a correction holds.
    back = np.linalg.pinv(correction.geometry.basis)
    covariance = back @ correction.covariance @ back.T
    error = np.sqrt(np.diagonal(covariance))
    texts = [
        f"{name}\n" + rf"$\pm${1e3 * one:.2g} mas"
        if name in _NAMES[Geometry.SHIFT]
        else f"{name}\n" + rf"$\pm${1e6 * one:.2g}e-6"
        for name, one in zip(names, error, strict=True)
    ]
    axes = matrix_panel(axes, width_in)
    draw_correlations(axes, covariance, texts)
    return figure_of(axes)


def draw_correlations(axes: Axes, covariance: FloatArray, names: Sequence[str]) -> None:
    """Draw the correlations of a covariance, from -1 (blue) to 1 (red), with their scale."""
    error = np.sqrt(np.diagonal(covariance))
    with np.errstate(invalid="ignore", divide="ignore"):
        correlation = covariance / np.outer(error, error)
    cells = axes.imshow(correlation, cmap="RdBu_r", vmin=-1.0, vmax=1.0, interpolation="none")
    axes.set_xticks(range(len(names)), names, rotation=90, fontsize=SMALL_TEXT)
    axes.set_yticks(range(len(names)), names, fontsize=SMALL_TEXT)
    if len(names) <= _MOST_WRITTEN:
        for row, column in np.ndindex(correlation.shape):
            value = correlation[row, column]
            axes.text(
                *(column, row, f"{round(value, 2) + 0.0:.2f}"),  # no minus before 0.00
                ha="center",
                va="center",
                fontsize=SMALL_TEXT,
                color="white" if abs(value) > 0.6 else "black",
            )
    scale_beside(axes, cells, "correlation").set_ticks([-1.0, -0.5, 0.0, 0.5, 1.0])
