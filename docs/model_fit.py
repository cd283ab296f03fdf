"""A tutorial of `alignsvc.fit_scene`."""

# %% [markdown]
# # Shift, rotation and stars together
#
# Two images of three stars in two bands. The second header is off: first by a pixel, then it is
# turned by pi/32 rad (5.6 degrees) as well. All is fitted to the pixels at once: places on the sky
# that both images share, a flux in each, the shape of the stars in each, the sky, the correction.
#
# A notebook in plain Python: cells begin with `# %%`. As a script, `python docs/model_fit.py PAGE`
# writes the pictures to a page.

# %%
from __future__ import annotations

import math
import sys
from pathlib import Path

import numpy as np
from astropy.wcs import WCS

import alignsvc
from alignsvc import plots
from alignsvc.numerics.models.light.profile import Places
from alignsvc.numerics.models.modelling.fitted_scene import FittedScene
from alignsvc.numerics.models.profiles.moffat import Moffat

SIDE, SCALE = 150, 0.2  # px, arcsec


# %% [markdown]
# ## Two images
# The header that both images carry is right for the first. In the second, stars lie where a header
# with other CRPIX and another rotation would put them.
# %%
def header(shift: tuple[float, float] = (0.0, 0.0), turn: float = 0.0) -> WCS:
    """Return a header: CRPIX moved by `shift` px, the matrix turned by `turn` rad."""
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = "RA---TAN", "DEC--TAN"
    wcs.wcs.crval = 150.0, 2.0
    wcs.wcs.crpix = (SIDE + 1) / 2 + shift[0], (SIDE + 1) / 2 + shift[1]
    cos, sin = math.cos(turn), math.sin(turn)
    wcs.wcs.cd = np.diag([-SCALE, SCALE]) / 3600 @ [[cos, -sin], [sin, cos]]
    wcs.wcs.set()
    return wcs


def image(true: WCS, flux: list[float], fwhm: float, sky: float, seed: int) -> np.ndarray:
    """Return three Moffat stars with the noise of their electrons, and 5 e of reading."""
    ra, dec = header().all_pix2world([40.2, 101.7, 80.3], [50.6, 62.1, 110.4], 0)
    x, y = true.all_world2pix(ra, dec, 0)
    stars = Moffat(nodes=25)(Places(x, y, SIDE), np.array([math.log(fwhm), 0.3])).value
    electrons = sky + np.tensordot(flux, stars, 1)
    random = np.random.default_rng(seed)
    return random.poisson(electrons) + random.normal(0, 5, electrons.shape)


def two_exposures(shift: tuple[float, float], turn: float) -> list[alignsvc.SceneExposure]:
    """Return both, with the same header; the noise is for the fit to find."""
    first = image(header(), [30e3, 50e3, 20e3], 5.0, 100, 1)
    second = image(header(shift, turn), [20e3, 60e3, 30e3], 6.0, 150, 2)
    return [
        alignsvc.SceneExposure(first, header(), gain=1.0, band="r", name="r"),
        alignsvc.SceneExposure(second, header(), gain=1.0, band="g", name="g"),
    ]


# %% [markdown]
# ## Three fits
# Without a correction chi2/dof is far from 1 and the residuals are dipoles; with a shift they go,
# unless the image is turned too.
# %%
def fits(exposures: list[alignsvc.SceneExposure]) -> dict[str, FittedScene]:
    """Return the fits without a correction, with a shift, and with a rotation too."""
    return {
        geometry: alignsvc.fit_scene(
            exposures, settings=alignsvc.SceneSettings(geometry=("none", geometry))
        )
        for geometry in ("none", "shift", "rshift")
    }


shifted = fits(two_exposures((0.8, -0.6), 0.0))
turned = fits(two_exposures((0.8, -0.6), math.pi / 32))

# %%
pictures: dict[str, object] = {
    "What this is": "Two images of three stars; the second is off. In each row: the image with the "
    "windows that are fitted and crosses where the sources are by the header as corrected, the "
    "model, and what is left, in the units of the pixels. Where a correction is wanting residuals "
    "are dipoles, and chi2/dof is far from 1.",
}
pictures |= {
    f"{name}, {geometry}: chi2/dof {fitted.chi2_per_degree:.3f}": plots.plot_scene(fitted)
    for name, fitted_by in (("One pixel off", shifted), ("Turned as well", turned))
    for geometry, fitted in fitted_by.items()
}

# %% [markdown]
# ## What was found, and how well it is known
# A correction is `new = M old + shift` in a tangent plane about the middle of the sources, in
# arcsec to the east and north, with the covariance of its six numbers. M turns the sky; a turn of
# the pixels, `CD = CD0 R(phi)`, is a `SceneExposure.placing`: see *From AstroPhot*.
#
# Stated errors are those of the variance, but where chi2 is beyond what noise makes of it the
# variance counts chi2/dof times, and `warnings` say so: of the fit without a correction, of course.
# %%
best = turned["rshift"]
correction = best.exposures[1].correction
if correction is None:
    raise RuntimeError(best.message)
error = np.sqrt(np.diagonal(correction.covariance))
found = (
    f"shift {correction.shift[0]:.4f} +- {error[0]:.4f}, {correction.shift[1]:.4f} +- "
    f"{error[1]:.4f} arcsec; rotation {correction.rotation_deg:.4f} +- "
    f"{math.degrees(math.hypot(error[2], error[3])):.4f} degrees"
)
pictures[found] = plots.plot_correlations(best)


def covariance_table(fitted: FittedScene) -> str:
    """Return values, errors and the covariance of the unknowns, a line each."""
    fit = fitted.fit
    if fit is None or fit.covariance is None:
        raise RuntimeError(fitted.message)
    lines = [
        f"  {unknown.name:20s} {value:9.4f} +- {math.sqrt(row[k]):.4f}  "
        + " ".join(f"{number: .1e}" for number in row)
        for k, (unknown, value, row) in enumerate(
            zip(fit.unknowns, fit.value, fit.covariance, strict=True)
        )
    ]
    return "\n".join(["Each unknown with its error, and its row of the covariance.", *lines])


pictures["The covariance"] = covariance_table(best)
pictures["What speaks against the fit without a correction"] = "\n".join(turned["none"].warnings)


# %% [markdown]
# ## Stars that no Moffat describes
# Stars with shoulders, say: chi2 tells that the model is wrong, and the residuals show rings. With
# `star="empirical"` the PSF is measured from the stars themselves. It is point-symmetric: of a
# lopsided star the place is a convention, and where two exposures' stars are lopsided in different
# ways a warning says by how much their shift is uncertain.
# %%
def shouldered() -> list[alignsvc.SceneExposure]:
    """Return two images, a fraction of a pixel apart, of nine stars with shoulders."""
    x, y = (40.0 * axis.ravel() + 35.3 for axis in np.mgrid[:3, :3])
    made = []
    for name, seed, off in (("first", 3, 0.0), ("second", 4, 0.4)):
        electrons = np.full((SIDE, SIDE), 100.0)
        for part, fwhm in ((1.0, 4.5), (-0.6, 7.5), (0.6, 9.0)):
            star = Moffat(nodes=25)(Places(x + off, y, SIDE), np.array([math.log(fwhm), 0.1]))
            electrons += 2e5 * part * star.value.sum(axis=0)
        pixels = np.random.default_rng(seed).poisson(electrons).astype(float)
        made.append(alignsvc.SceneExposure(pixels, header(), electrons, name=name))
    return made


stars = {
    star: alignsvc.fit_scene(
        shouldered(), settings=alignsvc.SceneSettings(geometry="shift", star=star)
    )
    for star in ("moffat", "empirical")
}
for star, fitted in stars.items():
    pictures[f"{star}: chi2/dof {fitted.chi2_per_degree:.3f}"] = plots.plot_scene(fitted)
    pictures[f"{star}: the PSFs"] = plots.plot_psfs(fitted)
    pictures[f"{star}: warnings"] = "\n".join(fitted.warnings) or "None."


# %%
def html() -> str:
    """Return all pictures as a page."""
    return plots.page("Shift, rotation and stars together", pictures)


# In a notebook `plots.plot_scene(best)` at the end of a cell shows itself.
if __name__ == "__main__" and len(sys.argv) > 1:
    Path(sys.argv[1]).write_text(html())
