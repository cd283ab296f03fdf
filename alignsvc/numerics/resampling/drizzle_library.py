"""The drops of the drizzle library, by its authors' institute: every kernel but our own."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from drizzle.resample import Drizzle

from alignsvc.numerics.resampling.drops import PlacedPart, SumPlanes


@dataclass(frozen=True, slots=True)
class LibraryDrops:
    """Adds chip pixels as the library does.

    Parameters
    ----------
    kernel : str
        ``square``, ``point``, ``gaussian`` or ``lanczos3``.
    pixfrac : float
        Side of a drop, chip pixels.
    scale : float
        Side of a chip pixel, grid pixels.

    Notes
    -----
    The library keeps a running mean; numerator = mean x weight is the sum of value x weight to
    the rounding of float32.
    """

    kernel: str
    pixfrac: float
    scale: float

    def __call__(self, parts: Iterable[PlacedPart], sums: SumPlanes) -> None:
        """Add parts of a chip; where weights cancel, nothing is left."""
        mean = np.zeros_like(sums.numerator)
        np.divide(sums.numerator, sums.weight, out=mean, where=sums.weight > 0)
        drizzle = Drizzle(kernel=self.kernel, out_img=mean, out_wht=sums.weight, disable_ctx=True)
        for part, positions in parts:
            with _known_warnings_silenced():
                drizzle.add_image(
                    part.pixels,
                    exptime=1.0,
                    pixmap=np.stack(
                        [positions[0] - sums.box.x0, positions[1] - sums.box.y0], axis=-1
                    ),
                    weight_map=part.weight,
                    # The library normalises all kernels to 1 but this one, to the scale squared.
                    wht_scale=1.0 / self.scale**2 if self.kernel == "lanczos3" else 1.0,
                    pixfrac=self.pixfrac,
                    pixel_scale_ratio=1.0 / self.scale,  # the library's: grid over chip pixel
                    in_units="cps",  # as they are: not divided by the exposure time
                )
        np.multiply(mean, sums.weight, out=sums.numerator)
        hole = ~(sums.weight > 0)
        for plane in (sums.numerator, sums.weight):
            np.copyto(plane, 0, where=hole)


@contextmanager
def _known_warnings_silenced() -> Iterator[None]:
    """Silence what the docstring of `DrizzleResampler` says of gaussian and lanczos3."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Kernel '.*' is not a flux-conserving kernel")
        warnings.filterwarnings("ignore", message="In lanczos kernel, pixel_fraction is ignored")
        yield
