"""Planes of open FITS files: pixels of any kind as float32, quality flags as bad or not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple, cast

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from alignsvc.domain.arrays import BoolArray, Float32Array
from alignsvc.io.file_bytes import as_data_error, unreadable
from alignsvc.io.fits_files import READ_ERRORS, OpenFits, heard_warnings


class _Scaling(NamedTuple):
    """What stands between the numbers in the file and their values."""

    scale: float
    zero: float
    blank: int | None

    @property
    def is_idle(self) -> bool:
        return (self.scale, self.zero) == (1.0, 0.0)


@dataclass(frozen=True, slots=True, eq=False)
class Plane:
    """An image of an open file, of which rows are read as they are wanted.

    Parameters
    ----------
    raw : array, shape (ny, nx)
        As it is stored: a file that is not compressed is mapped, and read where it is looked at.
    scaling : _Scaling
    """

    raw: NDArray[Any]
    scaling: _Scaling

    @classmethod
    def of(cls, file: OpenFits, index: int) -> Plane:
        """Return the image of HDU `index`.

        Raises
        ------
        DataError
            UNREADABLE: damaged.
        TransientError
            The file system or the server stumbled.
        """
        image = file.image(index)
        with heard_warnings():
            try:
                scaling = _scaling_of(image.header)
                raw = file.hdus[index].data
            except OSError as error:
                raise as_data_error(file.path, error) from error
            except READ_ERRORS as error:
                raise unreadable(file.path, f"{image.label}: {error}") from error
        if raw.dtype.kind not in "iu":
            scaling = scaling._replace(blank=None)
        return cls(raw.reshape(image.shape), scaling)

    def rows_into(self, y0: int, out: Float32Array) -> None:
        """Fill `out` with as many rows from `y0` on as it has, NaN where a pixel is blank."""
        raw, scaling = self.raw[y0 : y0 + len(out)], self.scaling
        with np.errstate(over="ignore", invalid="ignore"):
            # A float64 beyond float32's range becomes inf, hence masked; no error.
            if scaling.is_idle or raw.dtype.itemsize <= 2:
                np.copyto(out, raw, casting="unsafe")
                if not scaling.is_idle:
                    out *= np.float32(scaling.scale)
                    out += np.float32(scaling.zero)
            else:
                # Raw values above 2^24 do not fit float32; their scaled values may.
                scaled = np.asarray(raw, dtype=np.float64) * scaling.scale + scaling.zero
                np.copyto(out, scaled, casting="unsafe")
        if scaling.blank is not None:
            out[raw == scaling.blank] = np.nan


def read_plane(file: OpenFits, index: int) -> Float32Array:
    """Return an image as native float32, NaN where a pixel is blank; a fresh array."""
    plane = Plane.of(file, index)
    pixels = np.empty(plane.raw.shape, np.float32)
    plane.rows_into(0, pixels)
    return pixels


def read_flags(file: OpenFits, index: int, bad_flags: int | None) -> BoolArray:
    """Return where a quality plane says bad, shape (ny, nx).

    Parameters
    ----------
    file : OpenFits
    index : int
    bad_flags : int or None
        Sum of the flag values that are bad; None = any value but 0. Blank and NaN are bad.
    """
    plane = Plane.of(file, index)
    values, scaling = np.asarray(plane.raw), plane.scaling
    unknown = ~np.isfinite(values) if values.dtype.kind == "f" else values == scaling.blank
    if not scaling.is_idle:
        values = values * scaling.scale + scaling.zero
    if bad_flags is None:
        return cast(BoolArray, (values != 0) | unknown)
    flags = np.where(unknown, 0, values).astype(np.int64)
    return cast(BoolArray, ((flags & bad_flags) != 0) | unknown)


def _scaling_of(header: fits.Header) -> _Scaling:
    blank = header.get("BLANK")
    return _Scaling(
        float(header.get("BSCALE", 1.0)),
        float(header.get("BZERO", 0.0)),
        None if blank is None else int(blank),
    )
