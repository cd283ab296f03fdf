"""Exposures that were given twice, in files that are not byte for byte the same."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from alignsvc.domain.geometry import middle_of, unit_vectors
from alignsvc.io.exposure_headers import ExposureHeader
from alignsvc.numerics.sky.footprints import footprint

_SECONDS_PER_DAY = 86400.0
#: Times are the same if they differ by less, seconds: headers round them.
_SAME_TIME_S = 1e-3
#: Pairs that a note names.
_NAMED = 5


def copies_among(pixels: Mapping[str, float]) -> Mapping[str, str]:
    """Return exposures whose pixels are those of another one, with the first that has them.

    Parameters
    ----------
    pixels : mapping of exposure id to float
        A number that is the same where pixels are.
    """
    first: dict[float, str] = {}
    return {
        name: first[pixels[name]]
        for name in sorted(pixels)
        if first.setdefault(pixels[name], name) != name
    }


def suspicion_notes(headers: Sequence[ExposureHeader]) -> tuple[str, ...]:
    """Return which exposures say that they were taken at once at one place; nothing if none do.

    Chips in files of their own were taken at once too, but lie beside each other.
    """
    pairs = [f"{second} and {first}" for first, second in _taken_at_once(headers)]
    if not pairs:
        return ()
    named = ", ".join(pairs[:_NAMED]) + (", ..." if len(pairs) > _NAMED else "")
    return (
        "by their headers these were taken at the same time at the same place, through the same "
        f"filter: {named}; if they are one exposure give it once, since against its own noise "
        "errors are understated",
    )


def _taken_at_once(headers: Sequence[ExposureHeader]) -> Iterator[tuple[str, str]]:
    """Yield pairs of ids, the first of those that were taken at once with each of the others."""
    groups: dict[object, list[ExposureHeader]] = {}
    for header in headers:
        if header.mid_time_mjd is not None:
            time = round(header.mid_time_mjd * _SECONDS_PER_DAY / _SAME_TIME_S)
            camera = (header.telescope, header.instrument, header.filter_name, len(header.wcs))
            groups.setdefault((time, header.exposure_time_s, *camera), []).append(header)
    for group in groups.values():
        for n, second in enumerate(group):
            first = next((one for one in group[:n] if _is_same_place(one, second)), None)
            if first is not None:
                yield first.ref.id, second.ref.id


def _is_same_place(one: ExposureHeader, other: ExposureHeader) -> bool:
    """Return whether middles lie nearer to each other than half way to a corner."""
    corners = [unit_vectors(footprint(header.wcs).points()) for header in (one, other)]
    middles = [unit_vectors(middle_of(footprint(header.wcs).points())) for header in (one, other)]
    apart = float(np.linalg.norm(middles[0] - middles[1]))
    farthest = float(np.nanmax(np.linalg.norm(corners[0] - middles[0], axis=-1)))
    return apart < 0.5 * farthest
