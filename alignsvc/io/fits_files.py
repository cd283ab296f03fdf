"""FITS files: opened, checked for completeness, digested.

Nothing here writes: files are opened for reading only.
"""

from __future__ import annotations

import hashlib
import re
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from astropy.io import fits

from alignsvc.errors import DataError
from alignsvc.io.file_bytes import (
    InputFile,
    as_data_error,
    opened_input,
    stored_bytes,
    unreadable,
)
from alignsvc.io.image_settings import HduSelector

_BLOCK = 2880
_CHUNK = 1 << 20
#: What a name may end with; the rest is the exposure's id.
FITS_SUFFIX = re.compile(r"\.(fits|fit|fts)(\.gz|\.fz)?$", re.IGNORECASE)
#: What the FITS reader raises for damaged files, besides OSError.
READ_ERRORS = (ValueError, TypeError, LookupError, EOFError, zlib.error, RuntimeError)


@dataclass(frozen=True, slots=True, eq=False)
class ImageHdu:
    """One image of an open file, tile-compressed or not; pixels are read only when asked for.

    Parameters
    ----------
    index : int
        Of the HDU in the file, from 0.
    name : str
        EXTNAME in capitals, empty if none.
    version : int
        EXTVER, 1 if none.
    shape : tuple of int
        As of an array, without leading axes of length 1.
    header : fits.Header
        Of the image (not of the table that a compressed image is kept in).
    """

    index: int
    name: str
    version: int
    shape: tuple[int, ...]
    header: fits.Header

    @property
    def label(self) -> str:
        """``"SCI,1"`` or ``"HDU 0"``."""
        return f"{self.name},{self.version}" if self.name else f"HDU {self.index}"

    @property
    def is_plane(self) -> bool:
        """Whether it has two dimensions."""
        return len(self.shape) == 2

    def matches(self, selector: HduSelector) -> bool:
        """Whether `selector` means this HDU."""
        if isinstance(selector, int):
            return self.index == selector
        if isinstance(selector, str):
            return self.name == selector.upper()
        return self.name == selector[0].upper() and self.version == selector[1]


@dataclass(frozen=True, slots=True)
class HeaderBlocks:
    """The header blocks of a file, and how to find them again without reading a keyword.

    Parameters
    ----------
    path : str
    size : int
        Bytes of the file as it is stored.
    spans : tuple of (int, int)
        Where each HDU's header begins and ends, bytes after decompression.
    digest : str
        Of their content.
    """

    path: str
    size: int
    spans: tuple[tuple[int, int], ...]
    digest: str


@dataclass(frozen=True, slots=True, eq=False)
class OpenFits:
    """A FITS file, open for reading.

    Parameters
    ----------
    path : str
    file : InputFile
    size : int
        Bytes after decompression: what is compressed anew has another size as it is stored.
    hdus : fits.HDUList
    images : tuple of ImageHdu
        All HDUs that hold an image, in file order.
    blocks : HeaderBlocks
        Every header block in the file, data left out.
    """

    path: str
    file: InputFile
    size: int
    hdus: fits.HDUList
    images: tuple[ImageHdu, ...]
    blocks: HeaderBlocks

    @property
    def primary(self) -> fits.Header:
        """The first header, whose keywords hold for the whole file."""
        return self.hdus[0].header

    def image(self, index: int) -> ImageHdu:
        """Return the image of HDU `index`; it must be one."""
        return next(image for image in self.images if image.index == index)

    def ask_for(self, index: int) -> None:
        """Begin to read the pixels of HDU `index`, which are wanted soon, if they lie far away."""
        info = self.hdus[index].fileinfo()
        self.file.ask_for(info["datLoc"], info["datLoc"] + info["datSpan"])


@dataclass(frozen=True, slots=True, eq=False)
class FitsHeaders:
    """The headers of a FITS file that is open for reading, whether or not its pixels are there.

    Parameters
    ----------
    hdus : fits.HDUList
    images : tuple of ImageHdu
        All HDUs whose header describes an image, in file order.
    """

    hdus: fits.HDUList
    images: tuple[ImageHdu, ...]

    @property
    def primary(self) -> fits.Header:
        """The first header, whose keywords hold for the whole file."""
        return self.hdus[0].header


@contextmanager
def heard_warnings() -> Iterator[list[str]]:
    """Collect warnings of the FITS reader as sentences instead of letting them out."""
    heard: list[str] = []
    with warnings.catch_warnings(record=True) as records:
        warnings.simplefilter("always")
        yield heard
        heard.extend(" ".join(str(record.message).split()) for record in records)


@contextmanager
def open_fits(path: str) -> Iterator[OpenFits]:
    """Open a file and read its headers, not its pixels.

    Raises
    ------
    DataError
        MISSING, EMPTY, or UNREADABLE: not FITS, cut short, damaged.
    TransientError
        The file system or the server stumbled.
    """
    with opened_input(path) as file, _sound_headers(file) as found:
        size = _complete_size(file, found.hdus)
        blocks = _header_blocks(file, found.hdus)
        yield OpenFits(path, file, size, found.hdus, found.images, blocks)


@contextmanager
def open_headers(path: str) -> Iterator[FitsHeaders]:
    """Open a file of which only headers are wanted: it may end where pixels should begin.

    Raises
    ------
    DataError
        MISSING, EMPTY, or UNREADABLE: not FITS, a damaged header.
    TransientError
        The file system or the server stumbled.
    """
    with opened_input(path) as file, _sound_headers(file) as found:
        yield found


def are_unchanged(blocks: HeaderBlocks) -> bool:
    """Return whether a file has the size and the header blocks that it had, byte for byte."""
    try:
        with opened_input(blocks.path) as file:
            return file.size == blocks.size and _digest(file, blocks.spans) == blocks.digest
    except (DataError, OSError, *READ_ERRORS):
        return False  # whoever reads it anew says what is wrong


def content_digest(path: str) -> str:
    """Return a digest of all bytes of a file: equal for byte-equal files.

    Raises
    ------
    DataError
        MISSING or EMPTY.
    """
    sink = hashlib.sha256()
    with stored_bytes(path) as stream:
        while chunk := stream.read(_CHUNK):
            sink.update(chunk)
    return sink.hexdigest()


def _images(hdus: fits.HDUList) -> Iterator[ImageHdu]:
    for index, hdu in enumerate(hdus):
        if not isinstance(hdu, fits.PrimaryHDU | fits.ImageHDU | fits.CompImageHDU):
            continue
        header = hdu.header
        lengths = [int(header[f"NAXIS{axis + 1}"]) for axis in range(int(header["NAXIS"]))]
        shape = lengths[::-1]
        if not shape or 0 in shape or "GROUPS" in header:
            continue
        while len(shape) > 2 and shape[0] == 1:
            shape = shape[1:]
        name = str(header.get("EXTNAME", "")).strip().upper()
        version = header.get("EXTVER", 1)
        yield ImageHdu(
            index, name, version if isinstance(version, int) else 1, tuple(shape), header
        )


def _opened(file: InputFile) -> fits.HDUList:
    # do_not_scale: BZERO, BSCALE and BLANK are applied in `fits_planes`, to float32.
    hdus = fits.open(file.source, mode="readonly", do_not_scale_image_data=True)
    try:
        hdus.readall()
    except BaseException:
        hdus.close()
        raise
    return hdus


@contextmanager
def _sound_headers(file: InputFile) -> Iterator[FitsHeaders]:
    with heard_warnings() as heard:
        try:
            hdus = _opened(file)
        except OSError as error:
            raise as_data_error(file.path, error) from error
        except READ_ERRORS as error:
            raise unreadable(file.path, str(error)) from error
    with hdus:
        _require_sound(file, hdus, heard)
        with heard_warnings():
            images = tuple(_images(hdus))
        yield FitsHeaders(hdus, images)


def _require_sound(file: InputFile, hdus: fits.HDUList, heard: list[str]) -> None:
    if not any("Error validating header" in text for text in heard):
        return
    # Stray bytes after the last HDU are harmless and common; a broken extension is not.
    with file.stream() as stream:
        stream.seek(_end_of(hdus))
        if stream.read(8) == b"XTENSION":
            raise unreadable(
                file.path,
                f"the header of extension {len(hdus)} is damaged or cut short, and with it all "
                "that follows",
            )


def _complete_size(file: InputFile, hdus: fits.HDUList) -> int:
    """Return the bytes of a file after decompression; raise DataError if some are missing."""
    last, wanted = hdus[-1], _end_of(hdus)
    # A file without its last padding is complete as long as the image itself is. (The size that
    # a compressed image tells is that of its pixels, not of what is in the file.)
    is_plain = isinstance(last, fits.PrimaryHDU | fits.ImageHDU) and not isinstance(
        last, fits.CompImageHDU
    )
    needed = last.fileinfo()["datLoc"] + last.size if is_plain else wanted - _BLOCK + 1
    found = file.length(wanted)
    if found < needed:
        raise unreadable(
            file.path, f"it is cut short: {found} bytes found, {wanted} wanted by its headers"
        )
    return found


def _end_of(hdus: fits.HDUList) -> int:
    info = hdus[-1].fileinfo()
    return int(info["datLoc"] + info["datSpan"])


def _header_blocks(file: InputFile, hdus: fits.HDUList) -> HeaderBlocks:
    infos = [hdu.fileinfo() for hdu in hdus]
    spans = tuple((int(info["hdrLoc"]), int(info["datLoc"])) for info in infos)
    return HeaderBlocks(file.path, file.size, spans, _digest(file, spans))


def _digest(file: InputFile, spans: tuple[tuple[int, int], ...]) -> str:
    sink = hashlib.sha256()
    with file.stream() as stream:
        for start, end in spans:
            stream.seek(start)
            sink.update(stream.read(end - start))
    return sink.hexdigest()
