"""Judge an alignment by what its fit did not use: windowed centroids, matched on the sky."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import sep
from scipy.spatial import cKDTree

from alignsvc.domain.celestial import CelestialWcs
from alignsvc.domain.exposure import Chip
from alignsvc.domain.geometry import Points
from alignsvc.io.exposure_files import find_exposures
from alignsvc.io.exposure_headers import inspect_exposure
from alignsvc.io.exposure_pixels import read_exposure
from alignsvc.io.image_settings import ImageSettings

#: Mutual nearest neighbours within this, after the correction, are one source.
MATCH_RADIUS_PX = 1.5
#: Standard deviations of the sky at which a source begins.
THRESHOLD = 5.0
#: Pixels of an isophote below which a centroid is mostly noise.
LEAST_AREA = 15


@dataclass(frozen=True)
class Seen:
    """One exposure: its centroids, 0-based pixels, and the WCS that it came with."""

    id: str
    centroids: Points
    wcs: CelestialWcs


@dataclass(frozen=True)
class Offsets:
    """Where an exposure shows the sources of the first one.

    Parameters
    ----------
    px : array, shape (n, 2)
        Its position minus the first exposure's, by their headers, pixels of the first.
    matched : float
        Part of the sources, of the exposure with fewer, that found a partner.
    """

    px: np.ndarray
    matched: float

    @property
    def scatter_px(self) -> float:
        """Robust offset per axis (the median is not taken off), the worse axis."""
        return float(1.4826 * np.median(np.abs(self.px), axis=0).max())

    @property
    def median_px(self) -> np.ndarray:
        return np.median(self.px, axis=0)


@cache  # the same pixels and choices are asked for before and after
def seen(
    pattern: Path,
    settings: ImageSettings,
    least_area: int = LEAST_AREA,
    threshold: float = THRESHOLD,
) -> list[Seen]:
    """Return the exposures that a pattern names, in order of id."""
    found = []
    for candidate in find_exposures((str(pattern),), settings).candidates:
        header = inspect_exposure(candidate, settings)
        (chip,) = read_exposure(header.ref, settings).chips
        found.append(Seen(candidate.id, centroids(chip, least_area, threshold), chip.wcs))
    return found


def written_wcs(run: Path) -> dict[str, CelestialWcs]:
    """Return the WCSs of the corrected copies below a run, as anyone would read them."""
    candidates = find_exposures((str(run / "wcs" / "*.fits"),), ImageSettings()).candidates
    return {one.id: inspect_exposure(one, ImageSettings()).wcs[0] for one in candidates}


def centroids(chip: Chip, least_area: int, threshold: float) -> Points:
    """Return windowed centroids of unblended, unmasked sources of some size."""
    pixels, mask = np.array(chip.pixels, np.float32), np.array(chip.mask)
    background = sep.Background(pixels, mask=mask, bw=128, bh=128)
    pixels -= background.back()
    sources = sep.extract(pixels, threshold, err=background.globalrms, mask=mask)
    sources = sources[(sources["flag"] == 0) & (sources["npix"] >= least_area)]
    x, y = sources["x"], sources["y"]
    half_light, _ = sep.flux_radius(pixels, x, y, np.full(len(x), 6.0), 0.5, mask=mask)
    # The window that suits a source of this half-light radius best (SExtractor's WIN_ centroids).
    sigma = 2.0 / 2.35 * np.maximum(half_light, 0.5)
    x, y, flag = sep.winpos(pixels, x, y, sigma, mask=mask)
    return Points(x[flag == 0], y[flag == 0])


def offsets(first: Seen, other: Seen, wcs: dict[str, CelestialWcs]) -> Offsets:
    """Return the offsets of `other` against `first`; who has no entry in `wcs` keeps its own."""
    to_sky, from_sky = wcs.get(other.id, other.wcs), wcs.get(first.id, first.wcs)
    place = from_sky.pixel_from_sky(to_sky.sky_from_pixel(other.centroids))
    theirs = np.stack([place.x, place.y], axis=1)
    theirs = theirs[np.isfinite(theirs).all(axis=1)]
    own = np.stack([first.centroids.x, first.centroids.y], axis=1)
    distance, partner = cKDTree(theirs).query(own)
    _, back = cKDTree(own).query(theirs)
    mutual = (back[partner] == np.arange(len(own))) & (distance < MATCH_RADIUS_PX)
    fewest = min(len(own), len(theirs))
    return Offsets(theirs[partner[mutual]] - own[mutual], float(mutual.sum()) / fewest)
