"""CPU time of detection: ours, sep and photutils on the same simulated image.

photutils takes no blends apart here (that needs scikit-image), which is in its favour.
Run it by hand; it prints and never fails: ``python tests/benchmarks/bench_detection.py``.
"""

from __future__ import annotations

import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import sep
from astropy.convolution import convolve
from photutils.background import Background2D
from photutils.segmentation import SourceCatalog as PhotutilsCatalog
from photutils.segmentation import detect_sources

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "unit/numerics/sources"))
from source_fields import background_of, detect, grid_of, mosaic_of, random_truth, render

from alignsvc.numerics.sources.detection import Detector
from alignsvc.numerics.sources.mosaic_background import MosaicMesh

SIDE, N_SOURCES, SKY, RMS, THRESHOLD, MIN_AREA = 2048, 3200, 3.0, 5.0, 5.0, 5
KERNEL = np.outer([1, 2, 1], [1, 2, 1]) / 16


def simulated() -> np.ndarray:
    rng = np.random.default_rng(1)
    stars = render(random_truth(N_SOURCES, SIDE, rng), (SIDE, SIDE))
    return SKY + stars + rng.normal(0.0, RMS, stars.shape)


def ours(image: np.ndarray) -> int:
    mosaic = mosaic_of(image, np.full(image.shape, RMS**-2))
    grid = grid_of(image.shape, 1024)
    detector = Detector(threshold=THRESHOLD, min_area=MIN_AREA)
    background = background_of(mosaic, grid, MosaicMesh())
    return sum(len(tile.catalog) for tile in detect(mosaic, grid, detector, background))


def plain_sep(image: np.ndarray) -> int:
    sky = sep.Background(image, bw=128, bh=128)
    sources, _ = sep.extract(
        image - sky.back(), THRESHOLD, err=sky.globalrms, minarea=MIN_AREA, segmentation_map=True
    )
    sep.winpos(image, sources["x"], sources["y"], sources["a"])
    return len(sources)


def photutils(image: np.ndarray) -> int:
    sky = Background2D(image, 128)
    flat = image - sky.background
    # The threshold in units of the smoothed image's noise, as sep's matched filter has it.
    noise = sky.background_rms * np.sqrt((KERNEL**2).sum())
    smooth = convolve(flat, KERNEL)
    segments = detect_sources(smooth, THRESHOLD * noise, MIN_AREA)
    catalog = PhotutilsCatalog(flat, segments, convolved_data=smooth)
    _ = catalog.x_centroid_win, catalog.fwhm
    return len(catalog)


def cpu_seconds_per_mpix(find: Callable[[np.ndarray], int], image: np.ndarray) -> float:
    start = time.process_time()
    n = find(image)
    cost = (time.process_time() - start) / (image.size / 1e6)
    print(f"{find.__name__:10s} {n:6d} sources  {cost:8.3f} CPU s/Mpix")
    return cost


def main() -> None:
    image = simulated()
    find_sources = (ours, plain_sep, photutils)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mine, fast, slow = (cpu_seconds_per_mpix(find, image) for find in find_sources)
    print(f"photutils / sep = {slow / fast:.1f}   photutils / ours = {slow / mine:.1f}")


if __name__ == "__main__":
    main()
