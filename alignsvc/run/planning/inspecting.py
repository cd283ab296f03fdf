"""Which files are exposures that can be compared, by their headers, and why others are not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from alignsvc.domain.digest import digest_of
from alignsvc.domain.grid import MosaicGrid
from alignsvc.domain.outcome import Status
from alignsvc.io.exposure_files import FailedExposure
from alignsvc.io.exposure_headers import ExposureHeader
from alignsvc.io.fits_files import content_digest
from alignsvc.io.journal import ExposureEnded
from alignsvc.numerics.sky.footprints import footprint, touches
from alignsvc.reasons import REASON_TEXT, SkipReason
from alignsvc.run.planning.earlier_run import KnownExposure


def failure(failed: FailedExposure) -> ExposureEnded:
    """Return the end of an exposure that cannot be used."""
    return ExposureEnded(failed.id, Status.FAILED, failed.kind.value, failed.message)


def _skipped(exposure: str, reason: SkipReason, message: str) -> ExposureEnded:
    return ExposureEnded(exposure, Status.SKIPPED, reason.value, message)


def ended_alone(header: ExposureHeader, n_sound: int) -> ExposureEnded:
    """Return the end of an exposure that overlaps none of `n_sound` in all."""
    reason = SkipReason.SINGLE_EXPOSURE if n_sound == 1 else SkipReason.NO_OVERLAP
    return _skipped(header.ref.id, reason, f"exposure {header.ref.id}: {REASON_TEXT[reason]}")


def on_grid(
    sound: Sequence[ExposureHeader], grid: MosaicGrid | None
) -> tuple[list[ExposureHeader], list[ExposureEnded]]:
    """Leave out exposures that a given grid has no pixel of."""
    if grid is None:
        return list(sound), []
    reason = SkipReason.OUTSIDE_GRID
    inside, ended = [], []
    for header in sound:
        if touches(footprint(header.wcs), grid):
            inside.append(header)
        else:
            text = f"exposure {header.ref.id}: {REASON_TEXT[reason]}"
            ended.append(_skipped(header.ref.id, reason, text))
    return inside, ended


def without_duplicates(
    sound: Sequence[ExposureHeader], known: Mapping[str, KnownExposure]
) -> tuple[list[ExposureHeader], list[ExposureEnded]]:
    """Leave out exposures whose files are byte for byte those of an earlier one, or a known one.

    Only files of equal headers and sizes (one fingerprint) are read to the end.
    """
    first_with: dict[str, ExposureHeader] = {}
    contents: dict[str, set[str]] = {}
    kept, ended = [], []
    for header in sorted(sound, key=lambda header: header.ref.id not in known):
        earlier = first_with.setdefault(header.ref.fingerprint, header)
        if earlier is not header:
            seen = contents.setdefault(header.ref.fingerprint, {_contents(earlier)})
            own = _contents(header)
            if own in seen:
                message = f"exposure {header.ref.id}: byte for byte the same as {earlier.ref.id}"
                ended.append(_skipped(header.ref.id, SkipReason.DUPLICATE, message))
                continue
            seen.add(own)
        kept.append(header)
    return sorted(kept, key=lambda header: header.ref.id), ended


def _contents(header: ExposureHeader) -> str:
    files = dict.fromkeys(chip.science.uri for chip in header.ref.chips)
    return digest_of(tuple(content_digest(file) for file in files))
