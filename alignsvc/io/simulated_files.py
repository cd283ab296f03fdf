"""Files of simulated exposures, and their truth."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from astropy.io import fits
from numpy.typing import NDArray

from alignsvc.errors import ConfigError

TRUTH_FILE = "truth.json"

#: Keywords and values in the order in which they are written.
Cards: TypeAlias = Sequence[tuple[str, int | float | str]]


@dataclass(frozen=True, slots=True, eq=False)
class ImagePlane:
    """One image extension.

    Parameters
    ----------
    name : str
        EXTNAME.
    version : int
        EXTVER.
    values : array, shape (ny, nx)
    cards : Cards
    """

    name: str
    version: int
    values: NDArray[Any]
    cards: Cards


def write_single_image(path: Path, cards: Cards, values: NDArray[Any]) -> None:
    """Write a file whose primary HDU is the image."""
    _write(path, [fits.PrimaryHDU(values, header=_header(cards))])


def write_extensions(path: Path, primary: Cards, planes: Sequence[ImagePlane]) -> None:
    """Write a file with an empty primary HDU and one extension per plane."""
    hdus: list[Any] = [fits.PrimaryHDU(header=_header(primary))]
    for plane in planes:
        header = _header(plane.cards)
        hdus.append(fits.ImageHDU(plane.values, header=header, name=plane.name, ver=plane.version))
    _write(path, hdus)


def require_ours(paths: Sequence[Path], simulated_object: str) -> None:
    """Raise ConfigError if one of `paths` is a file that has another OBJECT: it may be data."""
    for path in paths:
        if path.exists() and _object_of(path) != simulated_object:
            raise ConfigError(
                f"simulate: {path} is there and is no simulated exposure; name another directory"
            )


def _object_of(path: Path) -> str | None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return str(fits.getheader(path).get("OBJECT"))
    except OSError:  # no FITS file
        return None


def write_truth(directory: Path, text: str) -> None:
    """Write ``truth.json`` into `directory`."""
    _replace(directory / TRUTH_FILE, text.encode())


def read_truth(directory: Path) -> str:
    """Return the text of ``truth.json``.

    Raises
    ------
    ConfigError
        There is none.
    """
    path = directory / TRUTH_FILE
    if not path.is_file():
        raise ConfigError(
            f"{directory}: no {TRUTH_FILE} found; name the directory that simulate wrote"
        )
    return path.read_text()


def _header(cards: Cards) -> Any:
    # No DATE card or any other trace of when and where: the same seed gives the same bytes.
    return fits.Header([fits.Card(key, value) for key, value in cards])


def _write(path: Path, hdus: list[Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    fits.HDUList(hdus).writeto(partial, overwrite=True)
    partial.replace(path)


def _replace(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    with partial.open("wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
    partial.replace(path)
