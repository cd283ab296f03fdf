"""FITS files as blocks: where each HDU's header and data lie, and their checksums."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np

from alignsvc.errors import HeaderError
from alignsvc.io.header_cards import BLOCK, HeaderCards, new_card, with_value

_CHUNK = 2880 * 512
_NO_CHECKSUM = "0" * 16


@dataclass(frozen=True, slots=True)
class RawHdu:
    """One HDU of a file.

    Parameters
    ----------
    header : bytes
        Whole blocks.
    data_offset, data_size : int
        Bytes; the size includes the padding.
    """

    header: bytes
    data_offset: int
    data_size: int


def scan_hdus(stream: BinaryIO) -> Iterator[RawHdu]:
    """Yield the HDUs of a seekable stream in their order.

    Raises
    ------
    HeaderError
        The file is not FITS, or is cut short.
    """
    stream.seek(0, 2)
    end = stream.tell()
    offset = 0
    while offset < end:
        stream.seek(offset)
        header = _read_header(stream)
        if header is None:
            if offset == 0:
                raise HeaderError("not FITS: no header at its start")
            return  # special records after the last HDU: copied with the rest, never edited
        start = offset + len(header)
        size = _data_size(HeaderCards.from_bytes(header))
        if start + size > end:
            raise HeaderError(
                f"cut short, {end} bytes found, {start + size} wanted; fetch it again"
            )
        yield RawHdu(header, start, size)
        offset = start + size


def _read_header(stream: BinaryIO) -> bytes | None:
    blocks: list[bytes] = []
    while True:
        block = stream.read(BLOCK)
        if not blocks and block[:8] not in (b"SIMPLE  ", b"XTENSION"):
            return None
        if len(block) < BLOCK:
            raise HeaderError("cut short within a header; fetch it again")
        blocks.append(block)
        if any(block[i : i + 8] == b"END     " for i in range(0, BLOCK, 80)):
            return b"".join(blocks)


def _data_size(cards: HeaderCards) -> int:
    # FITS standard 4.0, equations 1 and 2; random groups have NAXIS1 = 0.
    def whole(keyword: str, default: int) -> int:
        value = cards.value(keyword)
        return value if isinstance(value, int) else default

    axes = [whole(f"NAXIS{i + 1}", 0) for i in range(whole("NAXIS", 0))]
    if not axes:
        return 0
    if axes[0] == 0 and cards.value("GROUPS") == "T":
        axes = axes[1:]
    n_items = whole("GCOUNT", 1) * (whole("PCOUNT", 0) + int(np.prod(axes, dtype=object)))
    n_bytes = abs(whole("BITPIX", 8)) // 8 * n_items
    return -(-n_bytes // BLOCK) * BLOCK


def renewed_checksums(cards: HeaderCards, stream: BinaryIO, hdu: RawHdu) -> HeaderCards:
    """Return the header with CHECKSUM and DATASUM made right, where it has them.

    A DATASUM that is right keeps its bytes. A CHECKSUM that is not 16 characters is somebody
    else's convention and stays.
    """
    old = cards.value("CHECKSUM")
    wants_checksum = isinstance(old, str) and len(old) == 16
    has_datasum = cards.find("DATASUM") is not None
    if not wants_checksum and not has_datasum:
        return cards
    data_sum = _data_sum(stream, hdu)
    if has_datasum and _as_int(cards.value("DATASUM")) != data_sum:
        cards = _with(cards, "DATASUM", str(data_sum))
    return _with_checksum(cards, data_sum) if wants_checksum else cards


def with_checksums(cards: HeaderCards, data_sum: int) -> HeaderCards:
    """Return a header with its DATASUM and CHECKSUM cards, which it must have, made right.

    Parameters
    ----------
    cards : HeaderCards
    data_sum : int
        As `ones_complement_sum` adds it up over the data.
    """
    return _with_checksum(_with(cards, "DATASUM", str(data_sum)), data_sum)


def _with_checksum(cards: HeaderCards, data_sum: int) -> HeaderCards:
    cards = _with(cards, "CHECKSUM", _NO_CHECKSUM)
    total = ones_complement_sum(cards.to_bytes(), data_sum)
    return _with(cards, "CHECKSUM", _encoded(~total & 0xFFFFFFFF))


def _as_int(value: object) -> int | None:
    text = str(value).strip()
    return int(text) if text.isdigit() else None


def _with(cards: HeaderCards, keyword: str, value: str) -> HeaderCards:
    place = cards.find(keyword)
    if place is None:
        return cards
    images = list(cards.images)
    changed = with_value(images[place], value)
    if keyword == "CHECKSUM":
        # The code is aligned to 4 bytes: its string starts in column 11, and so in column 12 its
        # characters, as the sum below assumes.
        changed = new_card(keyword, value, "HDU checksum")
    images[place] = changed
    return HeaderCards(tuple(images))


def _data_sum(stream: BinaryIO, hdu: RawHdu) -> int:
    total, left = 0, hdu.data_size
    stream.seek(hdu.data_offset)
    while left:
        chunk = stream.read(min(_CHUNK, left))
        if not chunk:
            raise HeaderError("cut short within its data; fetch it again")
        total = ones_complement_sum(chunk, total)
        left -= len(chunk)
    return total


def ones_complement_sum(content: bytes | memoryview, start: int) -> int:
    """Return a sum of data with some more of it: whole words of 4 bytes, in any order."""
    # FITS standard 4.0, appendix J: 32-bit words, big-endian, carries added back at the low end.
    total = start + int(np.frombuffer(content, ">u4").sum(dtype=np.uint64))
    while total >> 32:
        total = (total & 0xFFFFFFFF) + (total >> 32)
    return total


def _encoded(value: int) -> str:
    # The same appendix: each byte is spread over four characters near '0' that add up to it, in
    # pairs moved apart until none is punctuation; then all turned right by one place.
    columns = []
    for shift in (24, 16, 8, 0):
        byte = value >> shift & 0xFF
        quarter, rest = divmod(byte, 4)
        parts = [quarter + 48] * 4
        parts[0] += rest
        while any(_is_punctuation(p) for p in parts):
            for i in (0, 2):
                if _is_punctuation(parts[i]) or _is_punctuation(parts[i + 1]):
                    parts[i] += 1
                    parts[i + 1] -= 1
        columns.append(parts)
    text = "".join(chr(columns[byte][place]) for place in range(4) for byte in range(4))
    return text[-1] + text[:-1]


def _is_punctuation(code: int) -> bool:
    return 0x3A <= code <= 0x40 or 0x5B <= code <= 0x60
