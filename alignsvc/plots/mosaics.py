"""A mosaic as a picture."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from alignsvc.domain.geometry import Points
from alignsvc.domain.grid import NORTH_UP_EAST_LEFT
from alignsvc.plots.figures import BLANK, ONE_COLUMN_IN, figure_of, panel
from alignsvc.plots.images import draw_light
from alignsvc.run.seeing.mosaic_image import MosaicImage


def plot_mosaic(
    image: MosaicImage, axes: Axes | None = None, *, width_in: float = ONE_COLUMN_IN
) -> Figure:
    """Draw a part of a mosaic, bright is dark, stretched by asinh.

    Parameters
    ----------
    image : MosaicImage
        What `alignsvc.read_mosaic` returns.
    axes : Axes or None
        Where to draw; None: in a new figure.
    width_in : float
        Of the new figure, inches.

    Returns
    -------
    Figure
        Axes are arcsec from the middle of the part, east to the left; of a mosaic on a grid of the
        user's that runs otherwise, pixels of the grid. Where nothing contributed it is yellowish.
    """
    box, grid = image.box, image.grid
    ny, nx = box.shape
    axes = panel(axes, width_in, float(np.clip(0.85 * ny / nx + 0.15, 0.3, 1.5)))
    if grid.axes == NORTH_UP_EAST_LEFT:
        half_x, half_y = 0.5 * nx * grid.scale_arcsec, 0.5 * ny * grid.scale_arcsec
        extent = (half_x, -half_x, -half_y, half_y)
        middle = grid.sky_from_pixel(
            Points(np.array(0.5 * (box.x0 + box.x1 - 1)), np.array(0.5 * (box.y0 + box.y1 - 1)))
        )
        axes.set_xlabel(f"east of RA {float(middle.ra):.5f}$\\degree$ [arcsec]")
        axes.set_ylabel(f"north of Dec {float(middle.dec):+.5f}$\\degree$ [arcsec]")
    else:
        extent = (box.x0 - 0.5, box.x1 - 0.5, box.y0 - 0.5, box.y1 - 0.5)
        axes.set_xlabel("x [px]")
        axes.set_ylabel("y [px]")
    draw_light(axes, image.pixels, extent=extent)
    axes.set_facecolor(BLANK)
    return figure_of(axes)
