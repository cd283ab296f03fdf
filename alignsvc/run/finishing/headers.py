"""Corrected headers for a run's exposures: copies, in place, or .head files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import numpy as np

from alignsvc.domain.celestial import CelestialWcs
from alignsvc.domain.correction import Correction
from alignsvc.domain.exposure import ChipRef
from alignsvc.domain.result import ExposureResult
from alignsvc.errors import HeaderError
from alignsvc.io import journal
from alignsvc.io.exposure_files import ExposureCandidate
from alignsvc.io.exposure_headers import ExposureHeader, inspect_exposure
from alignsvc.io.exposure_planes import PlaneKind, kind_of_plane
from alignsvc.io.header_files import hdus_with_same_wcs, write_copy, write_in_place
from alignsvc.io.image_settings import ImageSettings
from alignsvc.io.journal_store import Journal
from alignsvc.io.places import Place, place_of
from alignsvc.io.scamp_head import write_head
from alignsvc.io.wcs_edit import HeaderUpdate, Provenance
from alignsvc.numerics.sky.corrected import checked_error_px, corrected
from alignsvc.numerics.solve.factors import step_jacobian
from alignsvc.numerics.solve.movement import chip_samples
from alignsvc.version import VERSION


class Destination(StrEnum):
    """Where corrected headers go."""

    COPY = "copy"
    IN_PLACE = "in_place"
    HEAD = "head"


@dataclass(frozen=True, slots=True)
class HeaderSettings:
    """How headers are written.

    Parameters
    ----------
    destination : Destination
    folder : Place
        Of copies and .head files; the inputs' tree is mirrored below it.
    wcs_name : str
    run_id : str
    also : tuple of PlaneKind
        What is corrected with the science pixels whose WCS it carries. What is none of these kinds,
        and carries it, always is.
    knows_flux_scale : bool
        Whether exposures are read as the run's mosaic reads them, so that a .head file can say by
        what their pixels are multiplied there.
    """

    destination: Destination
    folder: Place
    wcs_name: str
    run_id: str
    also: tuple[PlaneKind, ...] = tuple(PlaneKind)
    knows_flux_scale: bool = True


@dataclass(frozen=True, slots=True)
class WrittenHeaders:
    """Files written for one exposure, the largest error of a written WCS, and warnings."""

    files: tuple[Place, ...]
    error_px: float
    warnings: tuple[str, ...]


def write_headers(
    header: ExposureHeader, result: ExposureResult, settings: HeaderSettings
) -> WrittenHeaders:
    """Write the corrected headers of one exposure.

    Raises
    ------
    HeaderError
        A header cannot express the correction to 1e-3 px, or cannot be edited; the exposure's
        files are as they were.
    """
    assert result.correction is not None
    # This very correction may have been written in place before.
    is_there = holds_it(header, result.correction, settings.run_id)
    new = list(header.wcs)
    error = 0.0
    if not is_there:
        totals = _totals(header, result)
        new = [corrected(wcs, own) for wcs, own in zip(header.wcs, totals, strict=True)]
        error = max(
            checked_error_px(wcs, one, own)
            for wcs, one, own in zip(header.wcs, new, totals, strict=True)
        )
    if settings.destination is Destination.HEAD:
        path = settings.folder / f"{header.ref.id}.head"
        first = _totals(header, result)[0]
        why = _provenance(header.wcs[0], first, result, settings)
        scale = header.flux_scale * result.level.flux_scale if settings.knows_flux_scale else None
        write_head(path, new, why, scale)
        return WrittenHeaders((path,), error, ())
    files: list[Place] = []
    warnings: list[str] = []
    for uri in dict.fromkeys(chip.science.uri for chip in header.ref.chips):
        updates = [] if is_there else _updates(uri, header, new, (result, settings))
        source = place_of(uri)
        if settings.destination is Destination.IN_PLACE:
            if not isinstance(source, Path):
                raise HeaderError(
                    f"{source}: what lies behind a URL is only read; set output.wcs: copy or head"
                )
            warnings += write_in_place(source, updates)
            files.append(source)
        else:
            target = settings.folder / copy_name(header, source)
            warnings += write_copy(source, target, updates)
            files.append(target)
    return WrittenHeaders(tuple(files), error, tuple(warnings))


def holds_it(header: ExposureHeader, correction: Correction, run_id: str) -> bool:
    """Return whether a header is corrected already, by the run or by one that it extends."""
    by_another = correction.is_identity
    return bool(header.corrected_by) and (header.corrected_by == run_id or by_another)


def journal_edit(book: Journal, header: ExposureHeader, settings: ImageSettings) -> None:
    """Keep what an exposure's files were and are, so that either counts as the run's input."""
    files = tuple(dict.fromkeys(chip.science.uri for chip in header.ref.chips))
    now = inspect_exposure(ExposureCandidate(header.ref.id, files), settings).ref.fingerprint
    if now != header.ref.fingerprint:
        book.append(journal.HeaderApplied(header.ref.id, files[0], header.ref.fingerprint, now))


def copy_name(header: ExposureHeader, source: Place) -> str:
    """Return the name of a copy below its folder: the input's, in the tree that its id mirrors."""
    folder = header.ref.id.rpartition("/")[0]
    return f"{folder}/{source.name}" if folder else source.name


def _chips(header: ExposureHeader) -> Sequence[tuple[ChipRef, CelestialWcs]]:
    return list(zip(header.ref.chips, header.wcs, strict=True))


def _updates(
    uri: str,
    header: ExposureHeader,
    new: Sequence[CelestialWcs],
    why: tuple[ExposureResult, HeaderSettings],
) -> list[HeaderUpdate]:
    """Return the edits of one file: its science HDUs, and planes that carry the same WCS."""
    result, settings = why
    science = {chip.science.hdu for chip in header.ref.chips if chip.science.uri == uri}
    updates: dict[int, HeaderUpdate] = {}
    totals = _totals(header, result)
    for (chip, old), wcs, own in zip(_chips(header), new, totals, strict=True):
        if chip.science.uri != uri:
            continue
        provenance = _provenance(old, own, result, settings)
        for hdu in (chip.science.hdu, *sorted(_with_it(chip, settings) - science)):
            updates.setdefault(hdu, HeaderUpdate(hdu, wcs, settings.wcs_name, provenance))
    return [updates[hdu] for hdu in sorted(updates)]


def _with_it(chip: ChipRef, settings: HeaderSettings) -> set[int]:
    """Return the HDUs that carry a chip's WCS and are to be corrected as well."""
    left_out = set(PlaneKind) - set(settings.also)
    found = hdus_with_same_wcs(place_of(chip.science.uri), chip.science.hdu)
    return {one.index for one in found if kind_of_plane(one.name) not in left_out}


def _totals(header: ExposureHeader, result: ExposureResult) -> tuple[Correction, ...]:
    """Return the correction of each chip."""
    try:
        return result.totals(len(header.wcs))
    except ValueError as error:
        raise HeaderError(f"{error}; give the corrections of this very exposure") from error


def _provenance(
    wcs: CelestialWcs, correction: Correction, result: ExposureResult, settings: HeaderSettings
) -> Provenance:
    return Provenance(
        settings.run_id,
        VERSION,
        result.status.value,
        result.quality.rmse_px,
        result.quality.n_used,
        random_error_arcsec(wcs, correction),
    )


def random_error_arcsec(wcs: CelestialWcs, correction: Correction) -> tuple[float, float]:
    """Return the rms over a chip of the correction's error along the header's two axes."""
    sky = wcs.sky_from_pixel(chip_samples(wcs.shape, 3))
    plane = correction.plane
    jacobian = step_jacobian(plane.from_sky(sky), plane, plane)
    variance = np.einsum("nip,pq,niq->ni", jacobian, correction.covariance, jacobian)
    east, north = np.sqrt(variance.mean(axis=0)).tolist()
    return (east, north) if wcs.longitude_axis == 0 else (north, east)
