"""From the units of pixels to one flux scale for a run."""

from __future__ import annotations

import re
from dataclasses import dataclass

#: Zero point of the common flux scale, mag: any value does, as long as it is one.
COMMON_ZERO_POINT = 25.0
_RATE = re.compile(r"(\s*/\s*(s|sec|secs|second|seconds)|[\s.*]+(s|sec)(\^|\*\*)?\(?-1\)?)$")
_COUNTS = {"adu", "dn", "count", "counts", "ct", "cts", "photon", "photons", "ph"}
_ELECTRONS = {"electron", "electrons", "e", "e-"}
_CALIBRATED = re.compile(r"jy\b|jy/|maggy|maggies|\berg|\bwatt|\bw/m|\bw m|\bmag\b|photlam")


@dataclass(frozen=True, slots=True)
class PixelUnits:
    """What is known of the units of an image's pixels.

    Parameters
    ----------
    name : str
        As written in the header; empty if it says nothing.
    is_known : bool
        False: the name is empty or says nothing to us; taken as counts.
    is_calibrated : bool
        Flux or surface brightness: neither the exposure time nor the gain applies.
    is_electrons : bool
    is_rate : bool
        Per second.
    """

    name: str
    is_known: bool
    is_calibrated: bool = False
    is_electrons: bool = False
    is_rate: bool = False


def pixel_units(name: str) -> PixelUnits:
    """Return what a BUNIT value means: ``adu``, ``electron/s``, ``MJy/sr``, ..."""
    plain = name.strip().lower()
    if plain == "cps":
        return PixelUnits(name, True, is_rate=True)
    base = _RATE.sub("", plain).strip()
    is_rate = base != plain
    if base in _COUNTS | _ELECTRONS:
        return PixelUnits(name, True, is_electrons=base in _ELECTRONS, is_rate=is_rate)
    if _CALIBRATED.search(plain):
        return PixelUnits(name, True, is_calibrated=True)
    return PixelUnits(name, False)


def flux_scale(units: PixelUnits, exposure_time_s: float | None, zero_point: float | None) -> float:
    """Return what pixels are multiplied by to be on the run's common flux scale.

    Counts, and units that are not known, are divided by the exposure time (by 1 where it is not
    known); rates and calibrated units are not. A zero point zp (mag, of one unit per second, or
    of one calibrated unit) multiplies by ``10**(-0.4 (zp - 25))``.
    """
    is_counts = not (units.is_rate or units.is_calibrated)
    per_second = 1.0 / exposure_time_s if is_counts and exposure_time_s else 1.0
    if zero_point is None:
        return per_second
    return float(per_second * 10.0 ** (-0.4 * (zero_point - COMMON_ZERO_POINT)))


def electrons_per_unit(
    units: PixelUnits, gain: float | None, exposure_time_s: float | None
) -> float | None:
    """Return the electrons that one unit of the pixels stands for; None if not known.

    `gain` is the header's, electrons per count. Electrons have gain 1 whatever the header says
    (GAIN then describes the raw frame); a rate holds as many units as it lasted seconds;
    calibrated units have no gain.
    """
    if units.is_calibrated:
        return None
    per_count = 1.0 if units.is_electrons else gain
    if per_count is None or not per_count > 0:
        return None
    if not units.is_rate:
        return per_count
    return per_count * exposure_time_s if exposure_time_s else None
