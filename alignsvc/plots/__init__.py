"""Figures of runs and of model fits, for notebooks and papers.

Every function returns a figure of matplotlib: a notebook shows it, ``figure.savefig("name.pdf")``
writes it as vectors. One that draws a single panel takes ``axes`` of your own, draws there and
returns their figure. Widths are those of journals' columns, `ONE_COLUMN_IN` and `TWO_COLUMNS_IN`.
Nothing goes through pyplot: no figure stays open, no setting of matplotlib changes.

Colours are Okabe and Ito's, and scales perceptually even ones, which people with any kind of sight
can tell apart.

Examples
--------
>>> import alignsvc
>>> from alignsvc import plots
>>> picture = alignsvc.look("runs/m51")  # doctest: +SKIP
>>> plots.plot_convergence(picture).savefig("convergence.pdf")  # doctest: +SKIP
>>> plots.plot_pulls(alignsvc.pulls("runs/m51"))  # doctest: +SKIP
"""

from __future__ import annotations

try:
    import matplotlib  # noqa: F401 - to say so at once where it is missing
except ImportError as error:
    raise ImportError(
        "alignsvc.plots draws with matplotlib, which is not here: pip install 'alignsvc[plots]'"
    ) from error

from alignsvc.plots.convergence import plot_convergence
from alignsvc.plots.correlations import plot_correction_correlations
from alignsvc.plots.cutouts import plot_cutouts
from alignsvc.plots.figures import ONE_COLUMN_IN, TWO_COLUMNS_IN, PlotFigure
from alignsvc.plots.html_page import page
from alignsvc.plots.mosaics import plot_mosaic
from alignsvc.plots.residuals import plot_exposure_residuals, plot_held_out, plot_pulls
from alignsvc.plots.scenes import plot_correlations, plot_exposures, plot_psfs, plot_scene
from alignsvc.plots.sky_maps import plot_corrections, plot_footprints
from alignsvc.plots.stages import plot_stages

__all__ = [
    "ONE_COLUMN_IN",
    "TWO_COLUMNS_IN",
    "PlotFigure",
    "page",
    "plot_convergence",
    "plot_correction_correlations",
    "plot_corrections",
    "plot_correlations",
    "plot_cutouts",
    "plot_exposure_residuals",
    "plot_exposures",
    "plot_footprints",
    "plot_held_out",
    "plot_mosaic",
    "plot_psfs",
    "plot_pulls",
    "plot_scene",
    "plot_stages",
]
