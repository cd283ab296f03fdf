"""The cards of a FITS header as the 80 bytes that they are: nothing is ever reformatted."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

from alignsvc.errors import HeaderError

CARD = 80
BLOCK = 2880
_END = b"END".ljust(CARD)
#: A value field: a string in quotes, or anything up to the comment.
_VALUE = re.compile(rb"^\s*('(?:[^']|'')*'|[^/]*)\s*(?:/(.*))?$", re.DOTALL)

CardValue: TypeAlias = str | int | float


@dataclass(frozen=True, slots=True)
class HeaderCards:
    """One header, card by card, without END and padding.

    Parameters
    ----------
    images : tuple of bytes
        80 bytes each.
    """

    images: tuple[bytes, ...]

    @classmethod
    def from_bytes(cls, raw: bytes) -> HeaderCards:
        """Return the cards of a header's blocks.

        Raises
        ------
        HeaderError
            No END.
        """
        images = [raw[i : i + CARD] for i in range(0, len(raw), CARD)]
        if _END not in images:
            raise HeaderError("header: no END card; the file is not sound FITS")
        return cls(tuple(images[: images.index(_END)]))

    def to_bytes(self) -> bytes:
        """Return whole blocks: the cards, END, blanks."""
        size = (len(self.images) + 1) * CARD
        return (b"".join(self.images) + _END).ljust(-(-size // BLOCK) * BLOCK)

    def keywords(self) -> Iterator[str]:
        """Yield the keyword of every card, blanks stripped; not unique."""
        for image in self.images:
            yield keyword_of(image)

    def find(self, keyword: str) -> int | None:
        """Return the place of the first card of that keyword, or None."""
        wanted = keyword.encode().ljust(8)
        for place, image in enumerate(self.images):
            if image[:8] == wanted:
                return place
        return None

    def value(self, keyword: str) -> CardValue | None:
        """Return the value of a keyword: text stripped of trailing blanks, or a number."""
        place = self.find(keyword)
        return None if place is None else value_of(self.images[place])

    def number(self, keyword: str) -> float | None:
        """Return the value of a keyword as a number; text that spells one counts."""
        value = self.value(keyword)
        if isinstance(value, str):
            try:
                return float(value.upper().replace("D", "E"))
            except ValueError:
                return None
        return value


def keyword_of(image: bytes) -> str:
    """Return the keyword of a card."""
    return image[:8].rstrip().decode("latin-1")


def value_of(image: bytes) -> CardValue | None:
    """Return the value of a card; None for a card without one."""
    if image[8:10] != b"= ":
        return None
    match = _VALUE.match(image[10:])
    text = (match.group(1) if match else image[10:]).strip().decode("latin-1")
    if text.startswith("'"):
        return text[1:-1].replace("''", "'").rstrip()
    if re.fullmatch(r"[+-]?\d+", text):
        return int(text)
    try:
        return float(text.upper().replace("D", "E"))
    except ValueError:
        return text or None


def with_value(image: bytes, value: CardValue) -> bytes:
    """Return the card with another value: same keyword, same comment as far as it fits."""
    match = _VALUE.match(image[10:])
    comment = match.group(2).strip().decode("latin-1") if match and match.group(2) else ""
    return new_card(keyword_of(image), value, comment)


def new_card(keyword: str, value: CardValue, comment: str = "") -> bytes:
    """Return a card; a number has all the digits that bring it back to the last bit.

    Raises
    ------
    HeaderError
        The value does not fit.
    """
    if isinstance(value, float) and not math.isfinite(value):
        raise HeaderError(f"card {keyword}: {value} cannot stand in a header")
    if isinstance(value, str):
        quoted = "'" + value.replace("'", "''").ljust(8) + "'"
        text = quoted.ljust(20)
    elif isinstance(value, int):
        text = str(value).rjust(20)
    else:
        text = repr(float(value)).upper().rjust(20)
    head = f"{keyword:<8}= {text}"
    if len(head) > CARD or not head.isascii():
        raise HeaderError(f"card {keyword}: the value {value!r} does not fit; shorten it")
    room = CARD - len(head) - 3
    tail = f" / {comment[:room]}" if comment and room > 0 else ""
    return (head + tail).encode("latin-1").ljust(CARD)


def renamed(image: bytes, keyword: str) -> bytes:
    """Return the card under another keyword, every other byte as it was."""
    return keyword.encode().ljust(8) + image[8:]


def commentary(keyword: str, text: str) -> bytes:
    """Return a HISTORY or COMMENT card; text beyond its 72 columns is cut."""
    return f"{keyword:<8}{text}"[:CARD].encode("ascii", "replace").ljust(CARD)
