"""What headers said, kept in the run's store, so that unchanged files are not understood again.

A file counts as unchanged if its size and all its header blocks are byte for byte the same: what
was kept is never believed on a time stamp, and identity stays what the files say now.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import astropy
import numpy as np

from alignsvc.domain.celestial import CelestialWcs, TpvSurface
from alignsvc.domain.digest import digest_of
from alignsvc.domain.exposure import ExposureRef
from alignsvc.domain.wcs_parts import WcsParts, WcsTerms
from alignsvc.io.codec import Json, json_from, sealed, unsealed, value_from
from alignsvc.io.exposure_files import ExposureCandidate
from alignsvc.io.exposure_headers import ChipFacts, ExposureHeader
from alignsvc.io.fits_files import HeaderBlocks, are_unchanged
from alignsvc.io.image_settings import ImageSettings
from alignsvc.io.locations import HEADERS_READ, HEADERS_SO_FAR
from alignsvc.io.objects import ObjectStore
from alignsvc.io.places import is_url
from alignsvc.version import VERSION

#: Files behind URLs that are looked at together: most of that is waiting.
_AT_ONCE = 16

_Rows = tuple[tuple[float, ...], ...]
_Pv = tuple[tuple[int, int, float], ...]


@dataclass(frozen=True, slots=True)
class _Sip:
    """SIP polynomials; None where the header has none of that kind."""

    forward: tuple[_Rows | None, _Rows | None]
    inverse: tuple[_Rows | None, _Rows | None]
    crpix: tuple[float, float]


@dataclass(frozen=True, slots=True)
class _Wcs:
    """A `CelestialWcs` as plain numbers, every bit of them."""

    shape: tuple[int, int]
    ctype: tuple[str, str]
    crpix: tuple[float, float]
    crval: tuple[float, float]
    cd: _Rows
    lonpole: float
    latpole: float
    pv: _Pv
    radesys: str
    equinox: float
    sip: _Sip | None
    tpv: _Rows | None


@dataclass(frozen=True, slots=True)
class _Entry:
    """An `ExposureHeader` as it is written: a line of its own, sealed."""

    files: tuple[str, ...]
    blocks: tuple[HeaderBlocks, ...]
    ref: ExposureRef
    wcs: tuple[_Wcs, ...]
    chips: tuple[ChipFacts, ...]
    filter_name: str
    mid_time_mjd: float | None
    warnings: tuple[str, ...]
    corrected_by: str
    airmass: float | None
    telescope: str
    instrument: str


@dataclass(frozen=True, slots=True, eq=False)
class HeadersRead:
    """Headers that were read before.

    Parameters
    ----------
    entries : mapping of exposure id to entry
    note : str
        Why there are none, where there should be; else empty.
    """

    entries: Mapping[str, _Entry] = field(default_factory=lambda: MappingProxyType({}))
    note: str = ""

    def unchanged_among(self, files: Collection[str]) -> UnchangedHeaders:
        """Return those of exposures all of whose files are among `files` and are what they were.

        The files' header blocks are read, of those behind URLs several at once.
        """
        there = frozenset(files)
        asked = [one for one in self.entries.values() if there.issuperset(one.files)]
        far = [any(map(is_url, one.files)) for one in asked]
        if any(far):
            with ThreadPoolExecutor(_AT_ONCE) as pool:
                sound = list(pool.map(_is_unchanged, asked))
        else:
            sound = [_is_unchanged(one) for one in asked]
        entries = {one.ref.id: one for one, same in zip(asked, sound, strict=True) if same}
        return UnchangedHeaders(entries)


@dataclass(frozen=True, slots=True, eq=False)
class UnchangedHeaders:
    """Headers that were read before, of files that are what they were.

    Parameters
    ----------
    entries : mapping of exposure id to entry
    """

    entries: Mapping[str, _Entry] = field(default_factory=lambda: MappingProxyType({}))

    def group_ids(self) -> dict[str, str]:
        """Return the id of each file's exposure: it follows from the settings and the headers."""
        return {file: name for name, entry in self.entries.items() for file in entry.files}

    def header_of(self, candidate: ExposureCandidate) -> ExposureHeader | None:
        """Return what the headers of an exposure said; None if they are not known."""
        entry = self.entries.get(candidate.id)
        return None if entry is None or entry.files != candidate.files else _header(entry)


def find_headers(objects: ObjectStore, settings: ImageSettings) -> HeadersRead:
    """Return the headers that a run keeps, and those of a first reading that was stopped.

    None, with a note, if they cannot be used.

    Parameters
    ----------
    objects : ObjectStore
        Of the run; there may be none yet.
    settings : ImageSettings
        By which headers are understood.
    """
    entries: dict[str, _Entry] = {}
    note = ""
    for name in (HEADERS_READ, *objects.list(HEADERS_SO_FAR)):
        content = objects.find(name)
        if content is None:
            continue
        first, *lines = content.split(b"\n")
        try:
            if unsealed(first) != _title(settings, len(lines)):
                note = note or _ignored(name, "other settings or another version wrote it")
                continue
            found = [value_from(unsealed(line), _Entry) for line in lines]
        except (TypeError, ValueError) as error:
            note = note or _ignored(name, f"it is damaged: {error}")
            continue
        entries |= {entry.ref.id: entry for entry in found}
    return HeadersRead(entries, note)


def keep_headers(
    objects: ObjectStore, headers: Iterable[ExposureHeader], settings: ImageSettings
) -> None:
    """Keep headers in the store of a run, in place of those that were there, all in one.

    Those with a distortion by look-up tables or by IRAF's surfaces are left out, and read again.
    """
    objects.put(HEADERS_READ, _content(headers, settings))
    objects.delete_below(HEADERS_SO_FAR)


def keep_headers_so_far(
    objects: ObjectStore, headers: Iterable[ExposureHeader], settings: ImageSettings
) -> None:
    """Keep some headers of a reading that goes on, beside those that were kept of it before.

    Nobody need own the run for that: what is put is named by its content.
    """
    content = _content(headers, settings)
    objects.put(f"{HEADERS_SO_FAR}{hashlib.sha256(content).hexdigest()[:16]}.jsonl", content)


def has_headers_so_far(objects: ObjectStore) -> bool:
    """Return whether a reading was stopped before its headers were kept in one."""
    return bool(objects.list(HEADERS_SO_FAR))


def _content(headers: Iterable[ExposureHeader], settings: ImageSettings) -> bytes:
    kept = [_line(header) for header in headers if _can_be_kept(header)]
    return b"\n".join([sealed(_title(settings, len(kept))), *kept])


def _is_unchanged(entry: _Entry) -> bool:
    return all(are_unchanged(one) for one in entry.blocks)


def _ignored(name: str, why: str) -> str:
    return f"{name} is not used, and its headers are read again: {why}"


def _title(settings: ImageSettings, n: int) -> dict[str, Json]:
    return {
        "format": 2,
        "versions": [VERSION, astropy.__version__],
        "settings": digest_of(settings),
        "headers": n,
    }


def _can_be_kept(header: ExposureHeader) -> bool:
    # Look-up tables are data, and no digest of headers tells whether they have changed.
    return bool(header.blocks) and not any(
        wcs.has_tables or not isinstance(wcs.surface, TpvSurface | None) for wcs in header.wcs
    )


def _line(header: ExposureHeader) -> bytes:
    files = tuple(dict.fromkeys(chip.science.uri for chip in header.ref.chips))
    entry = _Entry(
        files=files,
        blocks=header.blocks,
        ref=header.ref,
        wcs=tuple(_plain(wcs) for wcs in header.wcs),
        chips=header.chips,
        filter_name=header.filter_name,
        mid_time_mjd=header.mid_time_mjd,
        warnings=header.warnings,
        corrected_by=header.corrected_by,
        airmass=header.airmass,
        telescope=header.telescope,
        instrument=header.instrument,
    )
    data = json_from(entry, _Entry)
    assert isinstance(data, dict)
    return sealed(data)


def _header(entry: _Entry) -> ExposureHeader:
    return ExposureHeader(
        entry.ref,
        tuple(_celestial(wcs) for wcs in entry.wcs),
        entry.chips,
        entry.filter_name,
        entry.mid_time_mjd,
        entry.warnings,
        entry.corrected_by,
        entry.airmass,
        entry.telescope,
        entry.instrument,
        entry.blocks,
    )


def _plain(wcs: CelestialWcs) -> _Wcs:
    parts, surface = wcs.parts, wcs.surface
    sip = None
    if parts.sip is not None:
        a, b, ap, bp, crpix = parts.sip
        sip = _Sip((_rows(a), _rows(b)), (_rows(ap), _rows(bp)), (float(crpix[0]), float(crpix[1])))
    terms = parts.terms
    return _Wcs(
        wcs.shape,
        parts.ctype,
        parts.crpix,
        terms.crval,
        tuple(tuple(row) for row in terms.cd.tolist()),
        terms.lonpole,
        terms.latpole,
        terms.pv,
        parts.radesys,
        parts.equinox,
        sip,
        _rows((surface.first, surface.second)) if isinstance(surface, TpvSurface) else None,
    )


def _celestial(plain: _Wcs) -> CelestialWcs:
    sip = plain.sip
    parts = WcsParts(
        plain.ctype,
        plain.crpix,
        WcsTerms(plain.crval, np.array(plain.cd), plain.lonpole, plain.latpole, plain.pv),
        plain.radesys,
        plain.equinox,
        None
        if sip is None
        else (*map(_array, sip.forward), *map(_array, sip.inverse), np.array(sip.crpix)),
        (None, None, None, None),
    )
    surface = None if plain.tpv is None else TpvSurface(*map(np.array, plain.tpv))
    return CelestialWcs.from_parts(parts, plain.shape, surface)


def _rows(matrix: Any) -> _Rows | None:
    return None if matrix is None else tuple(tuple(np.asarray(row).tolist()) for row in matrix)


def _array(rows: _Rows | None) -> Any:
    return None if rows is None else np.array(rows)
