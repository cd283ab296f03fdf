"""Corrected headers for a run's exposures: copies, in place, or .head files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
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
from alignsvc.io.header_files import (
    ToWrite,
    copy_to_write,
    hdus_with_same_wcs,
    in_place_to_write,
)
from alignsvc.io.image_settings import ImageSettings
from alignsvc.io.journal_store import Journal
from alignsvc.io.places import Place, place_of
from alignsvc.io.scamp_head import head_text, write_head
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


@dataclass(frozen=True, slots=True, eq=False)
class HeadersToWrite:
    """The corrected headers of one exposure, to be written by a call, or let go by closing.

    Parameters
    ----------
    files : tuple of Place
    error_px : float
        The largest error of a WCS in them.
    warnings : tuple of str
    steps : tuple of callable
        Each writes a file. They do nothing but read and write, in any thread.
    """

    files: tuple[Place, ...]
    error_px: float
    warnings: tuple[str, ...]
    steps: tuple[Callable[[], None], ...]

    def __call__(self) -> None:
        """Write the files.

        Raises
        ------
        HeaderError
            One cannot be written, or its source cannot be read to its end.
        """
        try:
            for step in self.steps:
                step()
        finally:
            self.close()

    def close(self) -> None:
        """Let go of what would have been read."""
        for step in self.steps:
            if isinstance(step, ToWrite):
                step.close()


def write_headers(
    header: ExposureHeader, result: ExposureResult, settings: HeaderSettings
) -> HeadersToWrite:
    """Write the corrected headers of one exposure; return what was written.

    Raises
    ------
    HeaderError
        As of `headers_to_write`, or of writing them.
    """
    to_write = headers_to_write(header, result, settings)
    to_write()
    return to_write


def headers_to_write(
    header: ExposureHeader, result: ExposureResult, settings: HeaderSettings
) -> HeadersToWrite:
    """Return the corrected headers of one exposure, to be written.

    Raises
    ------
    HeaderError
        A header cannot express the correction to 1e-3 px, or cannot be edited.
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
        step = partial(write_head, path, head_text(new, why, scale))
        return HeadersToWrite((path,), error, (), (step,))
    places: list[Place] = []
    files: list[ToWrite] = []
    with ExitStack() as undo:
        for uri in dict.fromkeys(chip.science.uri for chip in header.ref.chips):
            updates = [] if is_there else _updates(uri, header, new, (result, settings))
            source = place_of(uri)
            if settings.destination is Destination.IN_PLACE:
                places.append(source)
                files.append(in_place_to_write(_of_this_machine(source), updates))
            else:
                places.append(settings.folder / copy_name(header, source))
                files.append(copy_to_write(source, places[-1], updates))
            undo.callback(files[-1].close)
        undo.pop_all()
    warnings = tuple(warning for one in files for warning in one.warnings)
    return HeadersToWrite(tuple(places), error, warnings, tuple(files))


def _of_this_machine(source: Place) -> Path:
    if not isinstance(source, Path):
        raise HeaderError(
            f"{source}: what lies behind a URL is only read; set output.wcs: copy or head"
        )
    return source


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
