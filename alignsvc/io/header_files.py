"""Corrected headers in files: a copy, in place, and back. Pixels are never touched.

A file is copied block by block with its headers edited on the way, into a temporary file beside
the goal that takes its place when it is whole: a reader sees the old file or the new one.
Compressed pixels (tiles or gzip) keep their bits; a gzip file is compressed anew, without a time.
"""

from __future__ import annotations

import gzip
import shutil
import stat
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, TypeAlias, cast

from astropy.io import fits

from alignsvc.domain.celestial import CelestialWcs
from alignsvc.errors import DataError, HeaderError
from alignsvc.io.file_bytes import opened_input
from alignsvc.io.fits_blocks import RawHdu, renewed_checksums, scan_hdus
from alignsvc.io.header_cards import CARD, HeaderCards, keyword_of
from alignsvc.io.places import Place, UrlPlace
from alignsvc.io.wcs_cards import ARCHIVED
from alignsvc.io.wcs_edit import HeaderUpdate, edited, is_corrected, restored
from alignsvc.io.whole_files import not_written, replaced

_CHUNK = 1 << 20

ExtensionSelector: TypeAlias = int | str | tuple[str, int]


@dataclass(frozen=True, slots=True, eq=False)
class ToWrite:
    """A file whose new headers are known: to be called once, in any thread, or closed.

    Parameters
    ----------
    destination : Place
    warnings : tuple of str
    source : Place
    stream : BinaryIO
        Its bytes.
    hdus : list of RawHdu
    headers : mapping of int to bytes
        New ones, by HDU.
    closing : ExitStack
        Closes the stream.
    """

    destination: Place
    warnings: tuple[str, ...]
    source: Place
    stream: BinaryIO
    hdus: list[RawHdu]
    headers: Mapping[int, bytes]
    closing: ExitStack

    def __call__(self) -> None:
        """Write the file, whole or not at all; in its own place, only if that changes it.

        Raises
        ------
        HeaderError
            It cannot be written, or the source is cut short; nothing was written.
        """
        with self.closing:
            if self.destination != self.source or self._is_changed:
                _write_whole(self.stream, self.hdus, self.headers, self.source, self.destination)

    @property
    def _is_changed(self) -> bool:
        return any(self.hdus[index].header != header for index, header in self.headers.items())

    def close(self) -> None:
        """Let go of the source."""
        self.closing.close()


def copy_to_write(source: Place, destination: Place, updates: Sequence[HeaderUpdate]) -> ToWrite:
    """Return a copy of a FITS file with corrected headers, to be written.

    Parameters
    ----------
    source, destination : Place
        Folders of the destination are made. A name that ends in ``.gz`` is compressed.
    updates : sequence of HeaderUpdate
        One for each HDU to be corrected, weights and masks included.

    Raises
    ------
    HeaderError
        A header cannot be written as asked, or the file is not sound.
    """
    with ExitStack() as opening:
        stream = opening.enter_context(_opened(source))
        hdus = _hdus(stream, source)
        headers, warnings = _edited_headers(stream, hdus, updates)
        if any(b"'ASDF" in hdu.header for hdu in hdus):
            warnings += ("the file's ASDF extension (gwcs) keeps the old WCS",)
        return ToWrite(destination, warnings, source, stream, hdus, headers, opening.pop_all())


def write_copy(
    source: Place, destination: Place, updates: Sequence[HeaderUpdate]
) -> tuple[str, ...]:
    """Write a `copy_to_write`, whose parameters and errors these are; return warnings."""
    copy = copy_to_write(source, destination, updates)
    copy()
    return copy.warnings


def in_place_to_write(path: Path, updates: Sequence[HeaderUpdate]) -> ToWrite:
    """Return a file with corrected headers, to be written in its place.

    Raises
    ------
    HeaderError
        As `copy_to_write`; or the file keeps its WCS in an ASDF extension too.
    """
    path = path.resolve()
    with ExitStack() as opening:
        stream = opening.enter_context(_opened(path))
        hdus = _hdus(stream, path)
        if any(b"'ASDF" in hdu.header for hdu in hdus):
            raise HeaderError(
                f"{path}: its WCS is also kept in an ASDF extension, which would then contradict "
                "the header; set output.wcs: copy or head"
            )
        headers, warnings = _edited_headers(stream, hdus, updates)
        return ToWrite(path, warnings, path, stream, hdus, headers, opening.pop_all())


def write_in_place(path: Path, updates: Sequence[HeaderUpdate]) -> tuple[str, ...]:
    """Write an `in_place_to_write`, whose parameters and errors these are; return warnings."""
    edited_file = in_place_to_write(path, updates)
    edited_file()
    return edited_file.warnings


def revert(path: Path) -> int:
    """Restore all headers of a file as they were before our correction; return how many.

    The file is byte for byte what it was (a gzip file: what is inside it).

    Raises
    ------
    HeaderError
        No header of the file holds a correction of ours, or one cannot be restored; the file is
        as it was.
    """
    path = path.resolve()
    with _opened(path) as stream:
        hdus = _hdus(stream, path)
        headers: dict[int, bytes] = {}
        for index, hdu in enumerate(hdus):
            cards = HeaderCards.from_bytes(hdu.header)
            if is_corrected(cards):
                with _named(path, index):
                    headers[index] = restored(cards).to_bytes()
        if not headers:
            raise HeaderError(f"{path}: no header holds a correction of ours; nothing to revert")
        ToWrite(path, (), path, stream, hdus, headers, ExitStack())()
    return len(headers)


def correction_run(path: Path) -> str | None:
    """Return ALIGNRUN of the first corrected header of a file, or None."""
    with _opened(path) as stream:
        for hdu in _hdus(stream, path):
            cards = HeaderCards.from_bytes(hdu.header)
            if is_corrected(cards):
                return str(cards.value("ALIGNRUN") or "")
    return None


@dataclass(frozen=True, slots=True)
class NamedHdu:
    """An HDU by its index, and its EXTNAME; empty without."""

    index: int
    name: str


def hdus_with_same_wcs(path: Place, hdu: int) -> tuple[NamedHdu, ...]:
    """Return the other image HDUs whose WCS cards say what those of `hdu` say."""
    with _opened(path) as stream:
        found = [HeaderCards.from_bytes(one.header) for one in _hdus(stream, path)]
    if not 0 <= hdu < len(found):
        raise HeaderError(f"{path}: it has HDUs 0 to {len(found) - 1}, not {hdu}")
    wcs = [_wcs_cards(cards) for cards in found]
    return tuple(
        NamedHdu(i, str(cards.value("EXTNAME") or "").strip().upper())
        for i, cards in enumerate(found)
        if i != hdu and wcs[i] and wcs[i] == wcs[hdu]
    )


def update_image_wcs(
    image: str | Path | fits.HDUList,
    ext: ExtensionSelector,
    wcs: CelestialWcs,
    wcs_name: str = "ALIGNSVC",
) -> tuple[str, ...]:
    """Put a WCS into one header of a file or of an open HDU list; return warnings.

    The old WCS goes under the next free alternate letter; `revert` brings it back.

    Parameters
    ----------
    image : path or astropy.io.fits.HDUList
        A path is changed in place at once, an HDU list in memory (flushing it is the caller's).
    ext : int, str or tuple
        Index, name, or (name, version).
    wcs : CelestialWcs
    wcs_name : str

    Raises
    ------
    HeaderError
        No such extension, or the header cannot hold the WCS; nothing was changed.
    """
    if not isinstance(image, fits.HDUList):
        path = Path(image)
        with fits.open(path) as hdus:
            index = _index_of(hdus, ext)
        return write_in_place(path, [HeaderUpdate(index, wcs, wcs_name)])
    hdu = image[_index_of(image, ext)]
    cards = HeaderCards(tuple(i for card in hdu.header.cards for i in _images_of(str(card))))
    result = edited(cards, HeaderUpdate(0, wcs, wcs_name))
    _apply(hdu.header, cards, result.cards)
    checksum = hdu.header.get("CHECKSUM")
    if isinstance(checksum, str) and len(checksum) == 16:
        hdu.add_checksum()
    return result.warnings


def _apply(header: fits.Header, before: HeaderCards, after: HeaderCards) -> None:
    n_before = len(before.images)
    for old, new in zip(before.images, after.images, strict=False):
        if old == new:
            continue
        card = fits.Card.fromstring(new)
        if card.keyword == keyword_of(old):
            header[card.keyword] = (card.value, card.comment)
        else:  # a card that became a COMMENT where it stood
            place = header.index(keyword_of(old))
            del header[place]
            header.insert(place, card)
    for image in after.images[n_before:]:
        header.append(fits.Card.fromstring(image), end=True, bottom=True)


def _images_of(text: str) -> Iterator[bytes]:
    raw = text.encode("latin-1")
    for start in range(0, len(raw), CARD):
        yield raw[start : start + CARD].ljust(CARD)


def _index_of(hdus: fits.HDUList, ext: ExtensionSelector) -> int:
    try:
        index = int(hdus.index_of(ext))
        hdus[index]
    except (KeyError, IndexError) as error:
        raise HeaderError(f"extension {ext!r}: not in the file, which has {len(hdus)}") from error
    return index


def _edited_headers(
    stream: BinaryIO, hdus: list[RawHdu], updates: Sequence[HeaderUpdate]
) -> tuple[dict[int, bytes], tuple[str, ...]]:
    headers: dict[int, bytes] = {}
    warnings: tuple[str, ...] = ()
    for update in updates:
        if not 0 <= update.hdu < len(hdus) or update.hdu in headers:
            raise HeaderError(
                f"HDU {update.hdu}: named twice, or not one of the file's {len(hdus)}"
            )
        hdu = hdus[update.hdu]
        with _named(f"HDU {update.hdu}", None):
            cards = HeaderCards.from_bytes(hdu.header)
            if cards.to_bytes() != hdu.header:
                raise HeaderError("something other than blanks follows END; mend the header first")
            result = edited(cards, update)
            changed = result.cards
            if changed is not cards:
                changed = renewed_checksums(changed, stream, hdu)
        headers[update.hdu] = changed.to_bytes()
        warnings += tuple(f"HDU {update.hdu}: {text}" for text in result.warnings)
    return headers, warnings


def _hdus(stream: BinaryIO, path: Place) -> list[RawHdu]:
    """Return all HDUs of an open file; what is wrong with it is said with its name."""
    with _named(path, None):
        return list(scan_hdus(stream))


@contextmanager
def _named(where: object, hdu: int | None) -> Iterator[None]:
    try:
        yield
    except HeaderError as error:
        place = str(where) if hdu is None else f"{where} HDU {hdu}"
        raise HeaderError(f"{place}: {error}") from error


def _wcs_cards(cards: HeaderCards) -> Mapping[str, object]:
    if not any(keyword.startswith("CTYPE") for keyword in cards.keywords()):
        return {}
    other = ("CROTA", "A_", "B_", "AP_", "BP_", "WAT", "CPDIS", "D2IM", "DP")
    return {
        keyword: cards.value(keyword)
        for keyword in cards.keywords()
        if (ARCHIVED.match(keyword) and keyword not in ("WCSNAME", "WCSAXES"))
        or keyword.startswith(other)
    }


@contextmanager
def _opened(path: Place) -> Iterator[BinaryIO]:
    """Yield the FITS bytes of a file as a seekable stream, unzipped if need be."""
    if isinstance(path, UrlPlace):
        try:
            with opened_input(str(path)) as file, file.stream() as stream:
                yield stream
        except DataError as error:
            raise HeaderError(str(error)) from error
        return
    try:
        with path.open("rb") as raw:
            magic = raw.read(3)
            raw.seek(0)
            if magic[:2] != b"\x1f\x8b":
                yield cast(BinaryIO, raw)
                return
            with tempfile.TemporaryFile() as plain, gzip.open(raw) as unzipped:
                shutil.copyfileobj(unzipped, plain, _CHUNK)
                yield cast(BinaryIO, plain)
    except (OSError, EOFError) as error:
        what = getattr(error, "strerror", None) or error
        raise HeaderError(f"{path}: cannot be read: {what}") from error


def _write_whole(
    stream: BinaryIO,
    hdus: list[RawHdu],
    headers: Mapping[int, bytes],
    source: Place,
    destination: Place,
) -> None:
    """Write the file with edited headers, whole or not at all; the error names what failed."""
    try:
        _put_whole(stream, hdus, headers, source, destination)
    except OSError as error:
        raise not_written(destination, error) from error


def _put_whole(
    stream: BinaryIO,
    hdus: list[RawHdu],
    headers: Mapping[int, bytes],
    source: Place,
    destination: Place,
) -> None:
    mode = stat.S_IMODE(source.stat().st_mode) if isinstance(source, Path) else 0o644
    with replaced(destination, mode) as out:
        if destination.suffix == ".gz":
            with gzip.GzipFile("", "wb", fileobj=out, mtime=0) as zipped:
                _copy(stream, hdus, headers, cast(BinaryIO, zipped))
        else:
            _copy(stream, hdus, headers, out)


def _copy(
    stream: BinaryIO, hdus: list[RawHdu], headers: Mapping[int, bytes], out: BinaryIO
) -> None:
    for index, hdu in enumerate(hdus):
        out.write(headers.get(index, hdu.header))
        stream.seek(hdu.data_offset)
        _copy_bytes(stream, out, hdu.data_size)
    # Whatever follows the last HDU (special records, padding) comes along.
    shutil.copyfileobj(stream, out, _CHUNK)


def _copy_bytes(stream: BinaryIO, out: BinaryIO, size: int) -> None:
    while size:
        chunk = stream.read(min(_CHUNK, size))
        if not chunk:
            raise HeaderError("cut short while it was copied")
        out.write(chunk)
        size -= len(chunk)
