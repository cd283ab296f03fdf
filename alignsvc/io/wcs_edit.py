"""One header: the new WCS in, the old one archived; and back again, bit for bit.

What is kept for the way back
    Every card of the old WCS is copied byte for byte under the alternate letter, so that it can be
    put back by taking the letter off. Cards that change and have no alternate form are kept in
    ALIGNOnn. Nothing is ever taken out: a card that may not stay becomes a COMMENT in its place,
    and cards that were not there are named in ALIGNAnn. ALIGNSHA is a digest of the whole header
    before. An edit is undone in memory before it is handed out, so a
    header that could not be restored is refused.
"""

from __future__ import annotations

import hashlib
import re
import string
from dataclasses import dataclass

from alignsvc.domain.celestial import CelestialWcs
from alignsvc.errors import HeaderError
from alignsvc.io.header_cards import (
    CardValue,
    HeaderCards,
    commentary,
    keyword_of,
    new_card,
    renamed,
    value_of,
    with_value,
)
from alignsvc.io.wcs_cards import (
    ARCHIVED,
    left_behind,
    redundant_values,
    require_same,
    superseded,
    wcs_of_cards,
    wcs_values,
)

_SUMS = ("CHECKSUM", "DATASUM")
_PRIVATE = re.compile(r"^ALIGN(RUN|VER|STA|RMS|NSR|ALT|SHA|A\d\d|O\d\d)$")
_HISTORY = b"HISTORY alignsvc"
#: Longest text between the quotes of a card.
_TEXT = 68


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where a correction came from, as written headers say it.

    Parameters
    ----------
    run : str
        Id of the run (ALIGNRUN).
    version : str
        Of the program (ALIGNVER).
    status : str
        ``aligned``, or what else the run calls it (ALIGNSTA).
    rms_px : float
        Residuals of the sources used (ALIGNRMS).
    n_sources : int
        Sources used (ALIGNNSR).
    crder_arcsec : tuple of float or None
        Random error of the two axes, in the header's order (CRDER1, CRDER2).
    """

    run: str
    version: str
    status: str
    rms_px: float
    n_sources: int
    crder_arcsec: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class HeaderUpdate:
    """The new WCS of one HDU.

    Parameters
    ----------
    hdu : int
        Index in the file, from 0.
    wcs : CelestialWcs
        As it shall be; derived from the header as it was *before* any correction.
    wcs_name : str
        WCSNAME of the new WCS.
    provenance : Provenance or None
        None where no run stands behind it.
    """

    hdu: int
    wcs: CelestialWcs
    wcs_name: str = "ALIGNSVC"
    provenance: Provenance | None = None


@dataclass(frozen=True, slots=True)
class EditedHeader:
    """A header after an edit.

    Parameters
    ----------
    cards : HeaderCards
    warnings : tuple of str
        What in the header could not follow the new WCS.
    """

    cards: HeaderCards
    warnings: tuple[str, ...]


def is_corrected(cards: HeaderCards) -> bool:
    """Whether the header holds a correction of ours."""
    return cards.find("ALIGNALT") is not None or cards.find("ALIGNRUN") is not None


def edited(cards: HeaderCards, update: HeaderUpdate) -> EditedHeader:
    """Return the header with the new WCS; CHECKSUM and DATASUM are left to the caller.

    Writing the same correction again gives the same header.

    Raises
    ------
    HeaderError
        The header holds another correction already, has no free alternate letter, cannot hold
        the WCS, or could not be restored.
    """
    if not is_corrected(cards):
        return _edited_fresh(cards, update)
    run = cards.value("ALIGNRUN")
    if cards.find("ALIGNALT") is not None:
        again = _edited_fresh(restored(cards), update)
        if _without_sums(again.cards) == _without_sums(cards):
            return EditedHeader(cards, again.warnings)
    raise HeaderError(
        f"header: corrected already (ALIGNRUN = {run!r}); a second correction on top of it is "
        "refused; run `alignsvc revert` on the file first"
    )


def restored(cards: HeaderCards) -> HeaderCards:
    """Return the header as it was before our correction, bit for bit.

    Raises
    ------
    HeaderError
        The header holds no correction of ours, or has been changed since in a way that leaves
        the old state unknown.
    """
    letter = cards.value("ALIGNALT")
    if not isinstance(letter, str) or not letter:
        raise HeaderError("header: no correction of ours is in it; there is nothing to revert")
    originals = {keyword_of(image): image for image in _unpacked(cards)}
    added = set(_words(cards, "ALIGNA"))
    archive = {
        keyword_of(image)[: -len(letter)]: image
        for image in cards.images
        if _is_archive(keyword_of(image), letter)
    }
    history = max((i for i, c in enumerate(cards.images) if c.startswith(_HISTORY)), default=-1)
    images = []
    for place, image in enumerate(cards.images):
        keyword = keyword_of(image)
        if place == history or keyword in added or _is_archive(keyword, letter):
            continue
        if _PRIVATE.match(keyword):
            continue
        taken = _placeholder_keyword(image)
        if taken in originals:
            images.append(originals[taken])
        elif keyword in originals:
            images.append(originals[keyword])
        else:
            images.append(renamed(archive[keyword], keyword) if keyword in archive else image)
    before = HeaderCards(tuple(images))
    if _digest(before) != cards.value("ALIGNSHA"):
        raise HeaderError(
            "header: it was changed by other hands after the correction, so that the header before "
            "it cannot be restored bit for bit; copy the WCS back from alternate "
            f"{letter!r} by hand"
        )
    return before


def _edited_fresh(cards: HeaderCards, update: HeaderUpdate) -> EditedHeader:
    old = wcs_of_cards(cards, update.wcs.shape)
    letter = _free_letter(cards)
    values: list[tuple[str, CardValue]] = [*wcs_values(cards, update.wcs)]
    values += redundant_values(cards, old, update.wcs)
    values += [("WCSNAME", update.wcs_name), *_errors(update.provenance, update.wcs)]
    if cards.find("ZHECKSUM") is not None:
        values.append(("ZHECKSUM", ""))  # of the image before compression: undefined from now on
    images = list(cards.images)
    kept, added = _replace(cards, images, values)
    for keyword in superseded(cards):
        place = _single(cards, keyword)
        kept.append(images[place])
        images[place] = _placeholder(keyword)
    sums = (cards.find(keyword) for keyword in _SUMS)
    kept += [cards.images[place] for place in sums if place is not None]
    images += _archive(cards, letter) + added
    images += _provenance_cards(update.provenance)
    images += _undo_cards(cards, letter, kept, [keyword_of(image) for image in added])
    images.append(_history(update.provenance, letter))
    result = HeaderCards(tuple(images))
    if restored(result).to_bytes() != cards.to_bytes():
        raise HeaderError("header: the edit could not be undone bit for bit; left as it was")
    require_same(result, update.wcs)
    return EditedHeader(result, left_behind(cards))


def _replace(
    cards: HeaderCards, images: list[bytes], values: list[tuple[str, CardValue]]
) -> tuple[list[bytes], list[bytes]]:
    """Put values into `images`; return the cards replaced that have no archive, and new cards."""
    kept, added = [], []
    for keyword, value in values:
        if cards.find(keyword) is None:
            added.append(new_card(keyword, value))
            continue
        place = _single(cards, keyword)
        if not ARCHIVED.match(keyword):
            kept.append(images[place])
        images[place] = with_value(images[place], value)
    return kept, added


def _single(cards: HeaderCards, keyword: str) -> int:
    places = [i for i, found in enumerate(cards.keywords()) if found == keyword]
    after = [keyword_of(cards.images[i + 1]) for i in places if i + 1 < len(cards.images)]
    if len(places) != 1 or "CONTINUE" in after:
        raise HeaderError(
            f"header: {keyword} stands in it {len(places)} times, or runs over several cards; "
            "one card is needed; mend the header first"
        )
    return places[0]


def _free_letter(cards: HeaderCards) -> str:
    keywords = list(cards.keywords())
    for letter in string.ascii_uppercase:
        if not any(_is_archive(keyword, letter) for keyword in keywords):
            return letter
    raise HeaderError(
        "header: all alternate WCS letters A to Z are taken, so the old WCS cannot be archived; "
        "remove an alternate that is no longer needed"
    )


def _is_archive(keyword: str, letter: str) -> bool:
    return keyword.endswith(letter) and ARCHIVED.match(keyword[:-1]) is not None


def _archive(cards: HeaderCards, letter: str) -> list[bytes]:
    found: dict[str, bytes] = {}
    for image in cards.images:
        keyword = keyword_of(image)
        if ARCHIVED.match(keyword):
            found.setdefault(keyword, image)
    if cards.find("RADESYS") is None and cards.find("RADECSYS") is not None:
        found["RADESYS"] = cards.images[cards.find("RADECSYS") or 0]
    if "WCSNAME" not in found:
        found["WCSNAME"] = new_card("WCSNAME", "INPUT", "WCS before the correction")
    # WCSAXES must come before all other cards of its WCS.
    order = sorted(found, key=lambda keyword: keyword != "WCSAXES")
    return [renamed(found[keyword], keyword + letter) for keyword in order]


def _errors(provenance: Provenance | None, wcs: CelestialWcs) -> list[tuple[str, CardValue]]:
    if provenance is None or provenance.crder_arcsec is None:
        return []
    # CRDERi is in the units of CRVALi; only degrees are written.
    return [(f"CRDER{i + 1}", provenance.crder_arcsec[i] / 3600.0) for i in (0, 1)]


def _provenance_cards(provenance: Provenance | None) -> list[bytes]:
    if provenance is None:
        return []
    return [
        new_card("ALIGNRUN", provenance.run[:_TEXT], "run that made this WCS"),
        new_card("ALIGNVER", provenance.version, "version of alignsvc"),
        new_card("ALIGNSTA", provenance.status, "outcome for this exposure"),
        new_card("ALIGNRMS", float(provenance.rms_px), "[pix] rms of the sources used"),
        new_card("ALIGNNSR", int(provenance.n_sources), "sources used"),
    ]


def _history(provenance: Provenance | None, letter: str) -> bytes:
    who = "update" if provenance is None else f"run {provenance.run}"
    return commentary("HISTORY", f"alignsvc: WCS corrected, old one is {letter}; {who}")


def _undo_cards(
    cards: HeaderCards, letter: str, kept: list[bytes], added: list[str]
) -> list[bytes]:
    undo = [new_card("ALIGNALT", letter, "alternate WCS that holds the old one")]
    lines: list[str] = []
    for word in added:
        if lines and len(lines[-1]) + 1 + len(word) <= _TEXT:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    undo += [new_card(f"ALIGNA{i:02d}", line) for i, line in enumerate(lines, 1)]
    pieces = [piece for image in kept for piece in _packed(image)]
    if len(pieces) > 99 or len(lines) > 99:
        raise HeaderError("header: more cards would change than can be kept for a way back")
    undo += [new_card(f"ALIGNO{i:02d}", piece) for i, piece in enumerate(pieces, 1)]
    undo.append(new_card("ALIGNSHA", _digest(cards), "digest of the header before"))
    return undo


def _packed(image: bytes) -> list[str]:
    """Return a card as texts that fit into cards; `|` ends the last one, `&` the others."""
    pieces, piece = [], ""
    for character in image.rstrip().decode("latin-1"):
        if len((piece + character).replace("'", "''")) > _TEXT - 1:
            pieces.append(piece + "&")
            piece = ""
        piece += character
    return [*pieces, piece + "|"]


def _unpacked(cards: HeaderCards) -> list[bytes]:
    images, text = [], ""
    for piece in _texts(cards, "ALIGNO"):
        text += piece[:-1]
        if piece.endswith("|"):
            images.append(text.encode("latin-1").ljust(80))
            text = ""
    return images


def _words(cards: HeaderCards, stem: str) -> list[str]:
    return " ".join(_texts(cards, stem)).split()


def _texts(cards: HeaderCards, stem: str) -> list[str]:
    pattern = re.compile(rf"^{stem}\d\d$")
    found = [image for image in cards.images if pattern.match(keyword_of(image))]
    return [str(value_of(image)) for image in sorted(found, key=keyword_of)]


def _placeholder(keyword: str) -> bytes:
    return commentary("COMMENT", f" alignsvc took out {keyword}")


def _placeholder_keyword(image: bytes) -> str:
    stem = b"COMMENT  alignsvc took out "
    return image[len(stem) :].strip().decode("latin-1") if image.startswith(stem) else ""


def _without_sums(cards: HeaderCards) -> list[bytes]:
    return [image for image in cards.images if keyword_of(image) not in _SUMS]


def _digest(cards: HeaderCards) -> str:
    return hashlib.sha256(cards.to_bytes()).hexdigest()[:32]
