"""The mosaic before and after as people see it: pictures that the run keeps, for pages."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

from alignsvc.errors import DamagedProduct
from alignsvc.io.objects import ObjectStore
from alignsvc.run.pictures.mosaic_pictures import (
    CropPictures,
    GridPictures,
    MosaicPictures,
    PictureFile,
    find_index,
    read_pictures,
)


@dataclass(frozen=True, eq=False)
class MosaicPreviews:
    """Pictures of a mosaic, and what they show.

    Parameters
    ----------
    pictures : MosaicPictures
        Stretch, scale, directions and captions of each grid, the largest first.
    contents : mapping of str to bytes
        The PNGs, by the names that `pictures` has for them.
    index : bytes
        The list of pictures as it was read: what has another one has other pictures.
    """

    pictures: MosaicPictures
    contents: Mapping[str, bytes]
    index: bytes

    @property
    def before(self) -> bytes | None:
        """PNG of the first mosaic of the largest grid."""
        return self._content(self._largest.before) if self._largest is not None else None

    @property
    def after(self) -> bytes | None:
        """PNG of the final mosaic of the largest grid."""
        return self._content(self._largest.after) if self._largest is not None else None

    @property
    def weight(self) -> bytes | None:
        """PNG of the weight map of the largest grid."""
        return self._content(self._largest.weight) if self._largest is not None else None

    @property
    def _largest(self) -> GridPictures | None:
        return self.pictures.grids[0] if self.pictures.grids else None

    def _content(self, file: PictureFile | None) -> bytes | None:
        return None if file is None else self.contents[file.name]

    @cached_property
    def json(self) -> dict[str, Any]:
        """All of it as JSON values, PNGs in base64; made once."""
        pictures = self.pictures
        return {
            "before_is": pictures.before_is,
            "after_is": pictures.after_is,
            "missing": pictures.missing,
            "left_out": pictures.left_out,
            "fwhm": None if pictures.fwhm is None else asdict(pictures.fwhm),
            "grids": [self._grid(one) for one in pictures.grids],
        }

    def _grid(self, one: GridPictures) -> dict[str, Any]:
        return {
            "component": one.component,
            "shape": list(one.shape),
            "scale_arcsec": one.scale_arcsec,
            "factor": one.factor,
            "east": list(one.east),
            "north": list(one.north),
            "stretch": asdict(one.stretch),
            "before": self._file(one.before),
            "after": self._file(one.after),
            "weight": self._file(one.weight),
            "largest_weight": one.largest_weight,
            "crop": None if one.crop is None else self._crop(one.crop),
        }

    def _crop(self, crop: CropPictures) -> dict[str, Any]:
        return {
            "x0": crop.x0,
            "y0": crop.y0,
            "stretch": asdict(crop.stretch),
            "before": self._file(crop.before),
            "after": self._file(crop.after),
        }

    def _file(self, file: PictureFile | None) -> dict[str, Any] | None:
        if file is None:
            return None
        png = base64.b64encode(self.contents[file.name]).decode("ascii")
        return {"width": file.width, "height": file.height, "png": png}


def find_mosaic_previews(
    objects: ObjectStore, known: MosaicPreviews | None = None
) -> MosaicPreviews | None:
    """Return the pictures of a run's mosaic.

    Parameters
    ----------
    objects : ObjectStore
        Of the run.
    known : MosaicPreviews or None
        Those that were found before: if they are still the ones, nothing is read again.

    Returns
    -------
    MosaicPreviews or None
        None where there are none yet, or of an earlier version; damaged ones say that they are.
    """
    index = find_index(objects)
    if index is None:
        return None
    if known is not None and known.index == index:
        return known
    try:
        pictures, contents = read_pictures(objects, index)
    except DamagedProduct as error:
        # Or they are just being replaced: then the next look finds another list.
        return MosaicPreviews(MosaicPictures(missing=f"no pictures: {error}"), {}, index)
    return MosaicPreviews(pictures, contents, index)
