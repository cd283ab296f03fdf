"""Which pixels belong to which source: blobs above a threshold, taken apart into sources."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import sep
from numpy.typing import NDArray

from alignsvc.domain.arrays import BoolArray, Float32Array, hold_read_only
from alignsvc.errors import ResourceError
from alignsvc.numerics.sources.blobs import Blobs

#: Parts of one blob that the deblending may look at: sep's own limit first, then more.
_SUB_OBJECTS = (1024, 8192, 65536)


@dataclass(frozen=True, slots=True, eq=False)
class Segments:
    """A label for every pixel of a box.

    Parameters
    ----------
    label : int32 array, shape (ny, nx)
        0 = no source; k = source k, of 1 to n.
    blended : bool array, shape (n,)
        Whether source k (at index k - 1) was taken out of a blob with others.
    cut : bool array, shape (n,)
        Whether the blob that it was in reaches the frontier of what is known.
    """

    label: NDArray[np.int32]
    blended: BoolArray
    cut: BoolArray

    def __post_init__(self) -> None:
        hold_read_only(self, "label", "blended", "cut")

    def __len__(self) -> int:
        return len(self.blended)


@dataclass(frozen=True, slots=True)
class Segmenter:
    """Finds connected pixels above a threshold and takes blends apart.

    Parameters
    ----------
    threshold : float
        In units of the image.
    min_area : int
        Fewest pixels of a source.
    deblend : int
        Levels, in equal ratios from the threshold to the peak, at which a blob is tried.
    contrast : float
        A part needs this share of the blob's flux to count as a source; 1 = never deblend.

    Notes
    -----
    Deblending is that of Bertin & Arnouts (1996), as sep does it. sep shares out the pixels
    around a blend by lot, drawing from one sequence for the whole image, so its answer depends
    on all that came before. Here each blob goes to sep alone and the sequence starts anew:
    the same blob comes apart in the same way in whatever tile it is seen.
    """

    threshold: float
    min_area: int
    deblend: int
    contrast: float

    def __call__(
        self,
        image: Float32Array,
        wanted: BoolArray | None = None,
        frontier: BoolArray | None = None,
    ) -> Segments:
        """Return the sources of the blobs that have a pixel in `wanted`.

        Parameters
        ----------
        image : float32 array, shape (ny, nx)
            Significance; 0 in holes.
        wanted : bool array, shape (ny, nx), or None
            None = everywhere.
        frontier : bool array, shape (ny, nx), or None
            True where the image goes on beyond the array; None = nowhere.

        Raises
        ------
        ResourceError
            A blob has more parts than can be told apart.
        """
        blobs = Blobs.above(image, self.threshold)
        area = blobs.area
        cut = np.zeros(len(blobs), bool) if frontier is None else blobs.touching(frontier)
        keep = area >= self.min_area
        if wanted is not None:
            keep &= blobs.touching(wanted)
        # Blobs that stay whole get the first labels, parts of the others come after.
        torn = self._torn(image, blobs, keep & (area >= 2 * self.min_area))
        keep[list(torn)] = False
        whole = np.flatnonzero(keep)
        number = np.zeros(len(blobs), np.int32)
        number[whole] = np.arange(1, whole.size + 1)
        label = np.zeros(image.shape, np.int32)
        label.reshape(-1)[blobs.at] = number[blobs.number]
        is_cut = [cut[whole]]
        n = whole.size
        for k, part in torn.items():
            target = label[blobs.window(k)]
            target[part > 0] = part[part > 0] + n
            n += int(part.max())
            is_cut.append(np.full(int(part.max()), cut[k]))
        blended = np.arange(n) >= whole.size
        return Segments(label, blended, np.concatenate(is_cut))

    def _torn(
        self, image: Float32Array, blobs: Blobs, large: BoolArray
    ) -> dict[int, NDArray[np.int32]]:
        """Return the parts of each blob, of those `large` enough, that has more than one."""
        if self.contrast >= 1.0:
            return {}
        several = np.flatnonzero(large & (blobs.maxima(image) > 1))
        if not several.size:
            return {}
        windows = {int(k): blobs.window(int(k)) for k in several}
        parts = {k: self._parts(image[at], blobs.plane[at] == k + 1) for k, at in windows.items()}
        return {k: part for k, part in parts.items() if part.max() > 1}

    def _parts(self, image: Float32Array, inside: BoolArray) -> NDArray[np.int32]:
        """Return the labels 1 to n of the parts of one blob, 0 outside it."""
        alone = np.where(inside, image, np.float32(0.0))
        for limit in _SUB_OBJECTS:
            try:
                with _sep_limits(inside.size + 1024, limit):
                    _, parts = sep.extract(
                        alone,
                        self.threshold,
                        minarea=self.min_area,
                        filter_kernel=None,
                        deblend_nthresh=self.deblend,
                        deblend_cont=self.contrast,
                        clean=False,
                        segmentation_map=True,
                    )
            except Exception as error:  # sep raises nothing narrower
                if "deblending overflow" not in str(error):
                    raise
                continue
            labels: NDArray[np.int32] = parts
            return labels
        raise ResourceError(
            f"deblending: a blob of {int(inside.sum())} px has more than {_SUB_OBJECTS[-1]} parts; "
            "raise detection.threshold or lower detection.deblend"
        )


@contextmanager
def _sep_limits(n_pixels: int, n_sub_objects: int) -> Iterator[None]:
    """Set sep's limits and put them back: they are its module's, and others use it too.

    They bound memory and do not touch the result.
    """
    before = sep.get_extract_pixstack(), sep.get_sub_object_limit()
    sep.set_extract_pixstack(n_pixels)
    sep.set_sub_object_limit(n_sub_objects)
    try:
        yield
    finally:
        sep.set_extract_pixstack(before[0])
        sep.set_sub_object_limit(before[1])
