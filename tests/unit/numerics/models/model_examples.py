"""One example, or more, of each registered profile, and pixels integrated by brute force."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from alignsvc.numerics.displacement.effective_psf import KNOTS, EffectivePsf
from alignsvc.numerics.models.profile import Places, Profile


def effective_psf() -> EffectivePsf:
    """A core, wings, a stretch, and a correction that is the same turned by 180 degrees."""
    correction = np.zeros((KNOTS, KNOTS))
    middle = KNOTS // 2
    correction[middle, middle + 2] = correction[middle, middle - 2] = 0.004
    correction[middle, middle] = -0.008
    terms = np.array([[0.5, 0.4, 0.05], [0.02, 0.01, 0.0], [0.0, -0.02, 0.0]])
    return EffectivePsf(np.array([0.6, 1.1, 2.2]), terms, correction)


#: Name of a registered profile, and settings to build it with.
EXAMPLES: dict[str, tuple[str, dict[str, Any]]] = {
    "moffat": ("moffat", {}),
    "sharp elliptical moffat": ("moffat", {"elliptical": True, "nodes": 5}),
    "gaussian": ("gaussian", {"nodes": 4}),
    "elliptical gaussian": ("gaussian", {"elliptical": True}),
    "two gaussians": ("gaussians", {}),
    "three elliptical gaussians": ("gaussians", {"count": 3, "elliptical": True}),
    "empirical": ("empirical", {"psf": effective_psf()}),
}


def fine_pixels(
    profile: Profile, at: tuple[float, float], shape: np.ndarray, side: int
) -> np.ndarray:
    """Integrals over pixels: sums of pixels five times as fine, themselves integrated."""
    if not hasattr(profile, "nodes"):
        # Known between the pixels only as integrals over them: the differences must be those of
        # a quarter pixel's picture moved, which the law of the centre says.
        return profile(Places(np.array([at[0]]), np.array([at[1]]), side), shape).value[0]
    times = 5
    finer = replace(profile, nodes=5)
    scaled = shape.copy()
    scaled[0] += np.log(times)
    fine = Places(*(np.array([times * (a + 0.5) - 0.5]) for a in at), times * side)
    return finer(fine, scaled).value[0].reshape(side, times, side, times).sum((1, 3))
