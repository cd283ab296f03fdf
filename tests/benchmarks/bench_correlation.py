"""CPU time of measuring displacements, in microseconds a source. Prints; never fails.

Run as ``python tests/benchmarks/bench_correlation.py`` with OMP_NUM_THREADS=1.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "unit/numerics/displacement"))

from displacement_scenes import catalog, drizzled_noise, random_phases, reference_of, stars, view_of

from alignsvc.domain.geometry import Points
from alignsvc.numerics.displacement.correlation.peak import PolynomialPeak
from alignsvc.numerics.displacement.correlation_maps import correlated
from alignsvc.numerics.displacement.correlators import CORRELATORS
from alignsvc.numerics.displacement.fitting.centroids import WindowedCentroids
from alignsvc.numerics.displacement.fitting.refine import TemplateFit
from alignsvc.numerics.displacement.measure import CorrelationMeasurement
from alignsvc.numerics.displacement.splines.spline import TemplateSpline
from alignsvc.numerics.displacement.windows.pairs import PairStack
from alignsvc.numerics.displacement.windows.psf_matching import PsfMatching
from alignsvc.numerics.displacement.windows.sizes import Sides

N_SOURCES, SIDE, PITCH, FWHM = 1024, 32, 36, 5.0
REPEATS = 15


@dataclass(frozen=True)
class Size:
    """Side of a cutout, how far apart sources lie, their FWHM, how far is searched, pixels."""

    side: int = SIDE
    pitch: int = PITCH
    fwhm: float = FWHM
    search: int = 3

    @property
    def sides(self) -> Sides:
        """The windows."""
        return Sides(self.side, self.search)


#: A run searches 8 px far in its first pass, 3 in the next one.
SIZES = (Size(), Size(64, 72, 10.0), Size(64, 72, 10.0, search=8))


def best_us(work: Callable[[], object], n: int) -> float:
    """CPU microseconds per item of the fastest of some runs."""
    times = []
    for _ in range(REPEATS):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return 1e6 * min(times) / n


def pairs_of(
    rng: np.random.Generator, sides: Sides, masked: float, fwhm: float = FWHM
) -> PairStack:
    """Noise in cutouts and templates, as many as are measured at once."""
    n, box, template = 256, sides.box, sides.template
    radius_px = 0.5 * sides.cutout if sides.compared is None else 1.8 * fwhm
    pixels = rng.normal(size=(n, box, box)).astype(np.float32)
    good = rng.random(pixels.shape) >= masked
    middle, none = np.full(n, 0.5 * (box - 1)), np.zeros(n)
    return PairStack(
        pixels=pixels * good,
        weight=good.astype(np.float32),
        good=good,
        spline=TemplateSpline.through(rng.normal(size=(n, template, template)).astype(np.float32)),
        template_good=np.ones((n, template, template), bool),
        template_variance=np.ones_like(pixels),
        texture=random_phases(n),
        share=np.zeros_like(pixels),
        centre=Points(middle, middle),
        whole=Points(none, none),
        aperture_px=np.full(n, radius_px),
        gain=None,
    )


def bench_correlation(rng: np.random.Generator, size: Size) -> None:
    """Correlation with four blots and its peak alone, cutouts in hand."""
    whole = size.sides
    for name in CORRELATORS.names():
        correlator = CORRELATORS.build(name, {})
        for label, sides, masked in (
            ("aperture  ", whole.holding(1.8 * size.fwhm + 1), 0.0),
            ("bad pixels", whole.holding(1.8 * size.fwhm + 1), 0.002),
            ("whole side", whole, 0.0),
        ):
            pairs = pairs_of(rng, sides, masked, size.fwhm)

            def work(correlator=correlator, pairs=pairs, sides=sides):
                return correlated(correlator, pairs, sides, PolynomialPeak())

            took = best_us(work, len(pairs))
            what = f"{size.side} px, {size.search} far: correlate + peak"
            print(f"{what}   {name:5s} {label} {took:7.1f} us/source")


def bench_measurement(rng: np.random.Generator, size: Size) -> None:
    """Everything: cutouts, blots, correlation, peak or fit, covariances, flags."""
    side = int(np.sqrt(N_SOURCES))
    lattice = np.mgrid[0:side, 0:side].reshape(2, -1) * size.pitch + size.pitch
    at = Points(*(lattice + rng.uniform(-0.5, 0.5, lattice.shape))[::-1])
    shape = ((side + 1) * size.pitch,) * 2
    flux = rng.uniform(300, 5000, N_SOURCES)
    clean = stars(shape, at, flux, size.fwhm)
    view = view_of(clean + rng.normal(size=shape), gain=2.0)
    reference = reference_of(clean + drizzled_noise(shape, rng) / 3, depth=9.0)
    sources = catalog(at, size.fwhm, 1.6 * size.fwhm)
    ncc = CORRELATORS.build("ncc", {})
    for label, measure in (
        ("plain", CorrelationMeasurement(ncc)),
        ("fitted", CorrelationMeasurement(ncc, TemplateFit())),
        ("matched", CorrelationMeasurement(ncc, TemplateFit(), matching=PsfMatching())),
        ("centroids", CorrelationMeasurement(ncc, WindowedCentroids())),
    ):
        as_a_run = measure.searching(size.search)
        took = best_us(lambda as_a_run=as_a_run: as_a_run(view, reference, sources), N_SOURCES)
        what = f"{size.side} px, {size.search} far: whole measurement"
        print(f"{what}  ncc   {label:9s}  {took:7.1f} us/source")


if __name__ == "__main__":
    generator = np.random.default_rng(0)
    for size in SIZES:
        bench_correlation(generator, size)
    for size in SIZES[:2]:
        bench_measurement(generator, size)
