"""How much differential chromatic refraction is to be expected, by airmass and filter."""

from __future__ import annotations

import math

#: Mean wavelengths of the usual bands, micrometres, by the first letter of their names.
BANDS_UM = {
    "u": 0.36, "U": 0.36, "B": 0.44, "g": 0.48, "G": 0.6, "V": 0.55, "r": 0.63, "R": 0.65,
    "i": 0.77, "I": 0.8, "z": 0.9, "Z": 0.9, "y": 1.0, "Y": 1.0, "J": 1.25, "H": 1.65, "K": 2.2,
}  # fmt: skip
#: Standard deviation of a broad band, of its mean wavelength (g: 140 nm wide, a box).
_BAND_WIDTH = 0.08
#: A black body's ``ln F`` is ``-a / wavelength``: by how much a grows, micrometres, when it gets
#: redder by a magnitude of g - r.
_WIEN_UM_PER_MAG = 0.4 * math.log(10.0) / (1.0 / 0.48 - 1.0 / 0.63)
_MAS_PER_RADIAN = math.degrees(1.0) * 3.6e6


def band_um(filter_name: str) -> float | None:
    """Return the mean wavelength of a filter, micrometres; None if its name is no usual band's.

    The first word counts: ``r``, ``r.MP9602``, ``g DECam SDSS c0001 4720.0 1520.0``,
    ``SDSS-g`` and ``sdss_g`` are known; narrow bands are not.
    """
    word = filter_name.strip().replace("_", "-").split(" ")[0].split(".")[0]
    word = word.rpartition("-")[2].rstrip("'")
    if len(word) == 2 and word[1] in "csp":  # Kc, Ks, Rc, Ic, gp, rp, ip, ...
        word = word[0]
    return BANDS_UM.get(word)


def refractivity(wavelength_um: float) -> float:
    """Return ``n - 1`` of dry air at 15 degrees C and 1013 hPa (Filippenko 1982, PASP 94, 715)."""
    wave2 = wavelength_um**-2
    return 1e-6 * (64.328 + 29498.1 / (146.0 - wave2) + 255.4 / (41.0 - wave2))


def chromatic_shift_mas(wavelength_um: float, airmass: float) -> float:
    """Return how much less a star is refracted that is redder by one magnitude, mas.

    A redder spectrum moves the mean wavelength within the band by its slope times the band's
    variance; refraction is ``(n - 1) tan z``. At sea level and 45 degrees from the zenith that is
    74 mas in g and 31 in r. An estimate for a warning: spectra are black bodies (in Wien's
    approximation), magnitudes those of g - r, and on a mountain there is less air.
    """
    step = 0.01
    steepness = (
        refractivity(wavelength_um * (1.0 - step)) - refractivity(wavelength_um * (1.0 + step))
    ) / (2.0 * step)
    moved = _WIEN_UM_PER_MAG / wavelength_um * _BAND_WIDTH**2
    tangent = math.sqrt(max(airmass**2 - 1.0, 0.0))
    return steepness * moved * tangent * _MAS_PER_RADIAN
