"""Which files are exposures that can be compared, by their headers, and why others are not."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from alignsvc.domain.arrays import FloatArray
from alignsvc.domain.digest import digest_of
from alignsvc.domain.geometry import SkyPoints, middle_of, unit_vectors
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


def ended_alone(
    alone: Sequence[ExposureHeader], sound: Sequence[ExposureHeader]
) -> list[ExposureEnded]:
    """Return the ends of exposures that overlap no other one of `sound`, all there are.

    Where there are others, each message says where the exposure's header puts it, and how far off
    the nearest other one is: a wrong header is seen by that.
    """
    if not alone:
        return []
    reason = SkipReason.SINGLE_EXPOSURE if len(sound) == 1 else SkipReason.NO_OVERLAP
    middles = unit_vectors(_joined([_middle(header) for header in sound]))
    ended = []
    for header in alone:
        text = f"exposure {header.ref.id}: {REASON_TEXT[reason]}"
        if reason is SkipReason.NO_OVERLAP:
            text += f"; {_place(header, sound, middles)}"
        ended.append(_skipped(header.ref.id, reason, text))
    return ended


def _place(header: ExposureHeader, sound: Sequence[ExposureHeader], middles: FloatArray) -> str:
    """Return where an exposure lies, and how far off the nearest of the others."""
    own = _middle(header)
    apart = np.linalg.norm(middles - unit_vectors(own), axis=1)
    apart[[other.ref.id == header.ref.id for other in sound]] = np.inf
    nearest = int(np.argmin(apart))
    far_deg = 2.0 * math.degrees(math.asin(min(1.0, 0.5 * apart[nearest])))
    return (
        f"its header puts its middle at RA {float(own.ra):.5f} Dec {float(own.dec):+.5f}, "
        f"{far_deg:.2g} deg from that of the nearest, {sound[nearest].ref.id}"
    )


def _middle(header: ExposureHeader) -> SkyPoints:
    return middle_of(_joined([wcs.centre() for wcs in header.wcs]))


def _joined(places: Sequence[SkyPoints]) -> SkyPoints:
    return SkyPoints(
        np.concatenate([np.atleast_1d(sky.ra) for sky in places]),
        np.concatenate([np.atleast_1d(sky.dec) for sky in places]),
    )


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
