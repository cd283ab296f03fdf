"""Pictures of a mosaic as a run keeps them: which there are, what they show, and how bright.

Below ``previews/``: a table of sums for each grid (what pictures of the first mosaic are made of
once more when the last one gives the stretch), PNGs named by their content, and ``mosaic.json``,
sealed, which names them and is written last.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from alignsvc.domain.arrays import IntArray
from alignsvc.domain.geometry import PixelBox
from alignsvc.domain.grid import MosaicGrid
from alignsvc.errors import DamagedProduct
from alignsvc.io.codec import json_from, sealed, unsealed, value_from
from alignsvc.io.locations import PREVIEWS
from alignsvc.io.objects import ObjectStore
from alignsvc.io.tables import read_table, write_table
from alignsvc.numerics.resampling.coadd import Contribution
from alignsvc.numerics.showing.stretch import AsinhStretch

_INDEX = f"{PREVIEWS}mosaic.json"


@dataclass(frozen=True, slots=True, eq=False)
class Thumbnail:
    """One grid of a mosaic in squares of pixels, and some places of it pixel by pixel.

    Parameters
    ----------
    component : int
    factor : int
        Pixels along the side of a square.
    numerator, weight : float32, shape (ny, nx)
        Sums over squares.
    field : int64, shape (n, 2)
        x0, y0 of each place, in pixels of the grid.
    crop : float32, shape (n, side, side)
        The mosaic there, NaN = not covered.
    """

    component: int
    factor: int
    numerator: NDArray[np.float32]
    weight: NDArray[np.float32]
    field: IntArray
    crop: NDArray[np.float32]

    @property
    def sums(self) -> Contribution:
        """The squares."""
        ny, nx = self.numerator.shape
        return Contribution(PixelBox(0, 0, nx, ny), self.numerator, self.weight)


@dataclass(frozen=True, slots=True)
class PictureFile:
    """A PNG of a run: its name, and its sides in pixels of the picture."""

    name: str
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class CropPictures:
    """The same place before and after, a pixel of the grid for each of the picture.

    Parameters
    ----------
    x0, y0 : int
        First pixel, 0-based, of the grid.
    stretch : AsinhStretch
        Of both.
    before, after : PictureFile or None
    """

    x0: int
    y0: int
    stretch: AsinhStretch
    before: PictureFile | None
    after: PictureFile | None


@dataclass(frozen=True, slots=True)
class GridPictures:
    """Pictures of one component's grid.

    Parameters
    ----------
    component : int
    shape : tuple of int
        ``(ny, nx)`` pixels of the grid.
    scale_arcsec : float
        Side of a pixel of the grid.
    factor : int
        Pixels of the grid along the side of one of the pictures.
    east, north : tuple of float
        Directions on the picture: to the right, upwards; unit vectors.
    stretch : AsinhStretch
        Of before and after.
    before, after, weight : PictureFile or None
    largest_weight : float
        The brightest colour of the weight map; 0 is the darkest.
    crop : CropPictures or None
    """

    component: int
    shape: tuple[int, int]
    scale_arcsec: float
    factor: int
    east: tuple[float, float]
    north: tuple[float, float]
    stretch: AsinhStretch
    before: PictureFile | None
    after: PictureFile | None
    weight: PictureFile | None
    largest_weight: float
    crop: CropPictures | None

    @property
    def files(self) -> tuple[PictureFile, ...]:
        """All pictures that there are."""
        some = [self.before, self.after, self.weight]
        some += [] if self.crop is None else [self.crop.before, self.crop.after]
        return tuple(one for one in some if one is not None)


@dataclass(frozen=True, slots=True)
class Fwhm:
    """Median FWHM of so many sources of the mosaic, px, before and after."""

    sources: int
    before_px: float
    after_px: float


@dataclass(frozen=True, slots=True)
class MosaicPictures:
    """All pictures of a run's mosaic.

    Parameters
    ----------
    grids : tuple of GridPictures
        The largest first.
    left_out : int
        Grids without pictures, since they are smaller than those.
    before_is, after_is : str
        What the two mosaics are.
    missing : str
        What is missing, and why; empty if nothing is, or is still to come.
    fwhm : Fwhm or None
    """

    grids: tuple[GridPictures, ...] = ()
    left_out: int = 0
    before_is: str = ""
    after_is: str = ""
    missing: str = ""
    fwhm: Fwhm | None = None


def directions(grid: MosaicGrid) -> tuple[tuple[float, float], tuple[float, float]]:
    """Return unit vectors to the east and to the north on a picture, x to the right, y up."""
    to_sky = grid.plane_jacobian / grid.scale_arcsec
    to_picture = np.linalg.inv(to_sky)
    east, north = ((float(x), float(y)) for x, y in to_picture.T)
    return east, north


def keep_thumbnail(objects: ObjectStore, kept: Thumbnail) -> None:
    """Keep what pictures of the first mosaic are made of."""
    write_table(objects, _thumbnail_name(kept.component), kept)


def find_thumbnail(objects: ObjectStore, component: int) -> Thumbnail | None:
    """Return what was kept of the first mosaic; None if nothing, or it is damaged."""
    try:
        return read_table(objects, _thumbnail_name(component), Thumbnail)
    except DamagedProduct:
        return None


def put_picture(objects: ObjectStore, content: bytes, shape: tuple[int, int]) -> PictureFile:
    """Write a PNG under a name that only this content has."""
    name = f"{PREVIEWS}{hashlib.sha256(content).hexdigest()[:16]}.png"
    objects.put(name, content)
    return PictureFile(name, shape[1], shape[0])


def write_pictures(objects: ObjectStore, pictures: MosaicPictures) -> None:
    """Write the list of pictures, then remove those that it does not name."""
    data = json_from(pictures, MosaicPictures)
    assert isinstance(data, dict)
    objects.put(_INDEX, sealed(data))
    named = {one.name for grid in pictures.grids for one in grid.files}
    for name in objects.list(PREVIEWS):
        if name.endswith(".png") and name not in named:
            objects.delete(name)


def find_index(objects: ObjectStore) -> bytes | None:
    """Return the list of pictures as it is stored; None if there is none."""
    return objects.find(_INDEX)


def read_pictures(objects: ObjectStore, index: bytes) -> tuple[MosaicPictures, Mapping[str, bytes]]:
    """Return the pictures that a list names, and their contents by name.

    Raises
    ------
    DamagedProduct
        The list is damaged, or a picture is missing.
    """
    try:
        pictures = value_from(unsealed(index), MosaicPictures)
    except (TypeError, ValueError) as error:
        raise DamagedProduct(f"{_INDEX} is damaged ({error})") from error
    contents = {}
    for name in (one.name for grid in pictures.grids for one in grid.files):
        content = objects.find(name)
        if content is None:
            raise DamagedProduct(f"{name}, which {_INDEX} names, is missing")
        contents[name] = content
    return pictures, contents


def _thumbnail_name(component: int) -> str:
    return f"{PREVIEWS}before-c{component}.npz"
