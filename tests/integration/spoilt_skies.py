"""Ways to spoil three good exposures, and how each of them should end in a run by models."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import sep
from astropy.io import fits
from astropy.table import Table
from astropy.wcs import WCS
from bad_files import write_bad
from scipy import ndimage
from workplaces import SKY, Workplace

ALIGNED = ("aligned", "")
TOO_FEW = ("skipped", "too_few_sources")
MASKED = ("failed", "all_masked")
NO_WEIGHT = ("failed", "bad_weight")
NAMES = ("exp000", "exp001", "exp002")
#: The sky of the other integration tests, and others like it; of the crowded one each star has two
#: others within its FWHM.
SKIES: Mapping[str, Mapping[str, object]] = {
    "usual": SKY,
    "galaxies": {
        **SKY,
        "stars": {"density": 0.0},
        "galaxies": {"density": 50.0, "flux": [100.0, 1e4], "half_light_arcsec": [0.3, 1.0]},
    },
    "crowded": {**SKY, "stars": {"density": 1500.0, "flux": [50.0, 3e4]}},
}

#: Settings of the run, by key.
Settings = Mapping[str, object]


@dataclass(frozen=True)
class Spoilt:
    """A sky, what is done to its exposures, and how they should end.

    Parameters
    ----------
    spoil : callable
        Changes the files of a workplace; returns what the configuration has besides.
    ends : tuple
        (status, reason) of each exposure.
    sky : str
        One of `SKIES`.
    """

    spoil: Callable[[Workplace], Settings]
    ends: tuple[tuple[str, str], ...] = (ALIGNED,) * 3
    sky: str = "usual"


def _nothing(place: Workplace) -> Settings:
    return {}


def _noise_alone(*which: int) -> Callable[[Workplace], Settings]:
    def spoil(place: Workplace) -> Settings:
        for number in which:
            pixels = np.random.default_rng(number).normal(100, 1, (256, 256))
            _rewrite(place, number, lambda _, new=pixels: new)
        return {}

    return spoil


def _saturated_at(electrons: float) -> Callable[[Workplace], Settings]:
    return lambda place: {"images.saturation": electrons}


def _saturated_sky(place: Workplace) -> Settings:
    """The second exposure's header has a level just above its sky: all its stars are cut."""
    file = place.inputs / "exp001.fits"
    fits.setval(file, "SATURATE", value=1.15 * float(np.median(fits.getdata(file))))
    return {}


def _constant(place: Workplace) -> Settings:
    _rewrite(place, 1, np.zeros_like)
    return {}


def _weightless(place: Workplace) -> Settings:
    """All have a variance beside them; that of the second is 0 throughout."""
    for number, name in enumerate(NAMES):
        with fits.open(place.inputs / f"{name}.fits", mode="update") as hdus:
            own = np.full(hdus[0].data.shape, 0.0 if number == 1 else 900.0, np.float32)
            hdus.append(fits.ImageHDU(own, name="VAR"))
    return {"images.weight": "VAR", "images.weight_type": "variance"}


def _all_masked(place: Workplace) -> Settings:
    good = place.inputs / "exp001.fits"
    folder = place.root / "other"
    folder.mkdir()
    write_bad(folder / "masked.fits", good)
    (folder / "masked.fits").replace(good)
    return {}


def _cores_masked(place: Workplace) -> Settings:
    """The second exposure has no pixel brighter than its sky."""

    def masked(pixels: np.ndarray) -> np.ndarray:
        bright = pixels > np.median(pixels) + 3 * np.std(np.sort(pixels, axis=None)[:30000])
        return np.where(ndimage.binary_dilation(bright, iterations=2), np.nan, pixels)

    _rewrite(place, 1, masked)
    return {}


def _seen_through(blurred: Callable[[np.ndarray], np.ndarray]) -> Callable[[Workplace], Settings]:
    def spoil(place: Workplace) -> Settings:
        def worse(pixels: np.ndarray) -> np.ndarray:
            noise = np.random.default_rng(1).normal(0, 8, pixels.shape)
            return blurred(pixels.astype(np.float64)) + noise

        _rewrite(place, 1, worse)
        return {}

    return spoil


def _of_catalogue(*, beside_px: float, every: int) -> Callable[[Workplace], Settings]:
    """Sources come from a table in which some are off all chips."""

    def spoil(place: Workplace) -> Settings:
        wcs, x, y = _bright_stars(place)
        x = x + np.where(np.arange(len(x)) % every == 0, beside_px, 0.0)
        return _catalogue(place, *wcs.all_pix2world(x, y, 0))

    return spoil


def _two_stars(place: Workplace) -> Settings:
    wcs, x, y = _bright_stars(place)
    return {**_catalogue(place, *wcs.all_pix2world(x[:2], y[:2], 0)), **GENERAL}


def _on_a_line(place: Workplace) -> Settings:
    """Ten stars in a row: nothing tells how the field is stretched across it."""
    across = np.linspace(0.1, 0.9, 10)
    wcs = WCS(fits.getheader(place.inputs / "exp000.fits"))
    ra, dec = wcs.all_pix2world(256 * across, 40 + 150 * across, 0)
    grid = np.mgrid[:256, :256][::-1]
    for number, name in enumerate(NAMES):
        header = fits.getheader(place.inputs / f"{name}.fits")
        at = np.array(WCS(header).all_world2pix(ra, dec, 0)) + 0.3 * number
        light = np.zeros((256, 256))
        for x, y in at.T:
            light += 3e3 * np.exp(-0.5 * ((grid[0] - x) ** 2 + (grid[1] - y) ** 2) / 2.0**2)
        noisy = np.random.default_rng(number).normal(100 + light, np.sqrt(100 + light))
        _rewrite(place, number, lambda _, new=noisy: new)
    return {**_catalogue(place, ra, dec), **GENERAL}


GENERAL: Settings = {"alignment.geometry": "general"}
SPOILT: dict[str, Spoilt] = {
    "no star": Spoilt(_noise_alone(0, 1, 2), (TOO_FEW,) * 3),
    "one without a star": Spoilt(_noise_alone(1), (ALIGNED, TOO_FEW, ALIGNED)),
    "all pixels saturated": Spoilt(_saturated_at(1.0), (MASKED,) * 3),
    "all stars saturated": Spoilt(_saturated_at(620.0)),
    "one with all stars saturated": Spoilt(_saturated_sky, (ALIGNED, TOO_FEW, ALIGNED)),
    "all blended": Spoilt(_nothing, sky="crowded"),
    "all sources off the chips": Spoilt(_of_catalogue(beside_px=1e3, every=1), (TOO_FEW,) * 3),
    "half of the sources off the chips": Spoilt(_of_catalogue(beside_px=1e3, every=2)),
    "one constant": Spoilt(_constant, (ALIGNED, NO_WEIGHT, ALIGNED)),
    "one of zero variance": Spoilt(_weightless, (ALIGNED, MASKED, ALIGNED)),
    "one all masked": Spoilt(_all_masked, (ALIGNED, MASKED, ALIGNED)),
    "one with masked cores": Spoilt(_cores_masked, (ALIGNED, TOO_FEW, ALIGNED)),
    "two sources": Spoilt(_two_stars, (TOO_FEW,) * 3),
    "sources on a line": Spoilt(_on_a_line, (("skipped", "degenerate_fit"),) * 3),
    "one out of focus": Spoilt(_seen_through(lambda pixels: ndimage.gaussian_filter(pixels, 3.5))),
    "one trailed": Spoilt(_seen_through(lambda pixels: ndimage.uniform_filter1d(pixels, 11))),
    "galaxies only": Spoilt(_nothing, sky="galaxies"),
    "stars only": Spoilt(_nothing),
}


def _rewrite(place: Workplace, number: int, changed: Callable[[np.ndarray], np.ndarray]) -> None:
    with fits.open(place.inputs / f"{NAMES[number]}.fits", mode="update") as hdus:
        hdus[0].data = changed(hdus[0].data).astype(np.float32)


def _bright_stars(place: Workplace) -> tuple[WCS, np.ndarray, np.ndarray]:
    """Return where the first exposure shows stars, the brightest first."""
    file = place.inputs / "exp000.fits"
    pixels = fits.getdata(file).astype(np.float64)
    sky = sep.Background(pixels)
    found = sep.extract(pixels - sky.back(), 10, err=sky.globalrms)
    x, y, flux = (found[name] for name in ("x", "y", "flux"))
    inside = (np.minimum(x, y) > 25) & (np.maximum(x, y) < 230)
    order = np.argsort(-flux[inside])
    return WCS(fits.getheader(file)), x[inside][order], y[inside][order]


def _catalogue(place: Workplace, ra: np.ndarray, dec: np.ndarray) -> Settings:
    path = place.root / "stars.ecsv"
    Table({"ra": ra, "dec": dec}).write(path, format="ascii.ecsv")
    return {"detection.catalog": str(path)}
