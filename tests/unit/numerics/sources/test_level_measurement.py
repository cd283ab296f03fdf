"""How bright an exposure shows sources and sky, against the mosaic of all."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest

from alignsvc.domain.arrays import FloatArray, IntArray
from alignsvc.domain.geometry import PixelBox
from alignsvc.domain.sources import SourceCatalog
from alignsvc.numerics.resampling.coadd import Contribution
from alignsvc.numerics.resampling.others import Others, SeenBand
from alignsvc.numerics.sources.level_loops import EVERY
from alignsvc.numerics.sources.level_measurement import LevelMeasurement, MeasuredLevels
from alignsvc.numerics.sources.segmentation import Segmentation

MEASURE = LevelMeasurement()
BOX = PixelBox(64, 128, 64 + 256, 128 + 256)
NOISE = 1.0
FLUX = 4e4
#: Within the box, clear of its edges, in grid pixels.
PLACES = [(x, y) for x in (120.3, 190.0, 258.6) for y in (190.8, 255.1, 320.5)]


def scene(flux: float, fwhm: float, sky: float, seed: int) -> FloatArray:
    """Return Gaussian stars on a sky, over `BOX`."""
    y, x = np.mgrid[BOX.y0 : BOX.y1, BOX.x0 : BOX.x1]
    sigma = fwhm / 2.3548
    image = np.random.default_rng(seed).normal(sky, NOISE, BOX.shape)
    for a, b in PLACES:
        star = np.exp(-0.5 * ((x - a) ** 2 + (y - b) ** 2) / sigma**2)
        image += flux * star / (2 * np.pi * sigma**2)
    return image


def contribution(image: FloatArray, weight: FloatArray | float = NOISE**-2) -> Contribution:
    weights = np.broadcast_to(np.asarray(weight, float), image.shape)
    return Contribution(BOX, image * weights, weights.copy())


def stars() -> SourceCatalog:
    n = len(PLACES)
    one = SourceCatalog.empty()
    columns = {name: np.zeros(n, column.dtype) for name, column in one.columns()}
    x, y = (np.array(axis) for axis in zip(*PLACES, strict=True))
    columns |= {"id": np.arange(n) + 7, "x": x, "y": y}
    columns |= {"snr": np.full(n, 500.0), "fwhm": np.full(n, 4.0), "flux": np.full(n, 0.8 * FLUX)}
    return dataclasses.replace(one, **columns)


def segmented(labels: IntArray) -> Segmentation:
    """Return a segmentation whose labels are the ids of sources."""
    source = np.unique(labels[labels != 0])
    return Segmentation(labels.astype(np.int32), source, source)


@dataclasses.dataclass(frozen=True)
class Seen:
    """An exposure, and the mosaic of all."""

    own: Contribution
    total: Contribution
    segmentation: Segmentation | None = None

    def levels(
        self, sources: SourceCatalog, measure: LevelMeasurement = MEASURE, height: int = 50
    ) -> MeasuredLevels:
        """Return what is measured in bands of so many rows."""
        begun = measure.begun(BOX, sources, self.segmentation)
        self._others(height, begun.look)
        return begun.found()

    @property
    def others(self) -> Others:
        return self._others(BOX.shape[0], None)

    def _others(self, height: int, look: Callable[[SeenBand], None] | None) -> Others:
        bands = [
            self.own.cut(PixelBox(BOX.x0, y, BOX.x1, min(y + height, BOX.y1)))
            for y in range(BOX.y0, BOX.y1, height)
        ]
        return Others.of([self.total], bands, BOX, look)


def seen(own: FloatArray, other: FloatArray, hole: FloatArray | None = None) -> Seen:
    """Return an exposure beside three like another, of which the mosaic consists with it."""
    weight = np.full(BOX.shape, NOISE**-2)
    if hole is not None:
        weight[hole] = 0.0
    mine = contribution(own, weight)
    total = Contribution(BOX, mine.numerator + 3 * other, mine.weight + 3 * NOISE**-2)
    return Seen(mine.narrowed(), total)


def test_the_ratio_is_that_of_the_fluxes_whatever_the_seeing_and_the_sky() -> None:
    levels = seen(scene(2 * FLUX, 5.0, 30.0, 1), scene(FLUX, 4.0, 10.0, 2)).levels(stars())
    assert levels.source.tolist() == list(range(7, 16))
    wanted = np.log(2 / ((2 + 3) / 4))
    error = np.sqrt(levels.log_variance)
    assert levels.log_ratio == pytest.approx(np.full(9, wanted), abs=4 * error.max() + 0.002)
    assert (error < 0.002).all()


def test_the_sky_is_its_difference_from_the_mosaic_in_every_patch() -> None:
    levels = seen(scene(FLUX, 4.0, 5.0, 1), scene(FLUX, 4.0, 1.0, 2)).levels(stars())
    assert len(levels.patch) == 16
    # The mosaic's own noise is in it too.
    error = 2 * np.sqrt(levels.sky_variance)
    assert error == pytest.approx(np.full(16, 2 * 1.25 * NOISE / 16), rel=0.01)
    assert levels.sky == pytest.approx(np.full(16, 3.0), abs=2 * error.max())
    assert levels.noise == pytest.approx([NOISE])


def test_a_source_with_a_hole_in_its_aperture_is_not_compared() -> None:
    hole = np.zeros(BOX.shape, bool)
    x, y = PLACES[4]
    hole[round(y) - BOX.y0 :, round(x) - BOX.x0 - 6 : round(x) - BOX.x0 + 6] = True
    levels = seen(scene(FLUX, 4.0, 0.0, 1), scene(FLUX, 4.0, 0.0, 2), hole).levels(stars())
    assert 7 + 4 not in levels.source.tolist()
    assert 7 in levels.source.tolist()


def test_pixels_of_another_source_take_no_part() -> None:
    own, other = scene(FLUX, 4.0, 0.0, 1), scene(FLUX, 4.0, 0.0, 2)
    neighbour = np.zeros(BOX.shape, np.int64)
    neighbour[72:78, 45:68] = 99
    own[neighbour == 99] += 1000.0
    both = seen(own, other)
    masked = dataclasses.replace(both, segmentation=segmented(neighbour))
    plain, without = both.levels(stars()), masked.levels(stars())
    assert abs(plain.log_ratio[0]) > 0.1
    assert abs(without.log_ratio[0]) < 0.01


def test_fluxes_are_those_of_whole_discs_and_rings_summed_plainly() -> None:
    some_hole = np.zeros(BOX.shape, bool)
    some_hole[60:64, 50:56] = True
    planes = seen(scene(2 * FLUX, 5.0, 30.0, 1), scene(FLUX, 4.0, 10.0, 2), some_hole)
    labels = np.zeros(BOX.shape, np.int64)
    labels[40:90, 70:74], labels[60:66, 54:60] = 99, 7
    levels = dataclasses.replace(planes, segmentation=segmented(labels)).levels(stars())
    y, x = np.mgrid[BOX.y0 : BOX.y1, BOX.x0 : BOX.x1]
    distance = np.hypot(x - np.rint(PLACES[0][0]), y - np.rint(PLACES[0][1]))
    known = (planes.own.weight > 0) & ((labels == 0) | (labels == 7))
    disc, whole = known & (distance <= 18), known & (distance <= 27)
    ring = whole & ~disc
    part = disc.sum() / ring.sum()
    others = planes.others
    weight = others.weight.astype(float) + planes.own.weight
    means = (
        np.divide(total, weight, out=np.zeros(BOX.shape), where=weight > 0)
        for total, weight in (
            (planes.own.numerator, planes.own.weight),
            (planes.own.numerator + others.weight.astype(float) * others.value, weight),
        )
    )
    own, all_ = (mean[disc].sum() - part * mean[ring].sum() for mean in means)
    variance = (1 / planes.own.weight[disc]).sum() * (1 + part) / own**2
    assert levels.source[0] == 7
    assert levels.log_ratio[0] == pytest.approx(np.log(own / all_), rel=1e-6)
    assert levels.log_variance[0] == pytest.approx(variance, rel=1e-6)


def test_faint_sources_say_nothing() -> None:
    faint = seen(scene(100.0, 4.0, 0.0, 1), scene(100.0, 4.0, 0.0, 2))
    assert not len(faint.levels(stars()).source)


def test_a_box_that_holds_no_whole_patch_has_no_sky_and_tells_fluxes_all_the_same() -> None:
    both = seen(scene(2 * FLUX, 4.0, 0.0, 1), scene(FLUX, 4.0, 0.0, 2))
    levels = both.levels(stars(), LevelMeasurement(patch_px=300))
    assert not len(levels.patch)
    assert not len(levels.sky)
    assert len(levels.source) == len(PLACES)


@pytest.mark.parametrize("height", [1, 37, 256])
def test_levels_are_the_same_in_whatever_bands_they_are_measured(height: int) -> None:
    both = seen(scene(2 * FLUX, 5.0, 30.0, 1), scene(FLUX, 4.0, 10.0, 2))
    once, often = both.levels(stars()), both.levels(stars(), height=height)
    for column in dataclasses.fields(once):
        found, wanted = (getattr(one, column.name) for one in (often, once))
        np.testing.assert_array_equal(found, wanted)


def test_the_brightest_of_the_sound_sources_are_chosen() -> None:
    rising = dataclasses.replace(stars(), snr=np.arange(9) + 100.0)
    levels = seen(scene(FLUX, 4.0, 0.0, 1), scene(FLUX, 4.0, 0.0, 2)).levels(rising)
    sound = rising.select(rising.id != 14)
    chosen = LevelMeasurement(most_sources=3).chosen(levels, sound)
    assert chosen.source.tolist() == [12, 13, 15]
    assert chosen.log_ratio.tolist() == levels.log_ratio[[5, 6, 8]].tolist()
    assert chosen.log_variance.tolist() == levels.log_variance[[5, 6, 8]].tolist()
    assert chosen.patch.tolist() == levels.patch.tolist()


def test_what_two_chips_tell_counts_once() -> None:
    levels = seen(scene(FLUX, 4.0, 0.0, 1), scene(FLUX, 4.0, 0.0, 2)).levels(stars())
    twice = MeasuredLevels.concatenate([levels, levels])
    assert twice.source.tolist() == levels.source.tolist()
    assert (twice.sky == levels.sky).all()
    assert len(twice.noise) == 2


@pytest.mark.parametrize("patch_px", [64, 37])
@pytest.mark.parametrize("segmented_too", [False, True])
def test_skies_are_those_of_the_two_means(patch_px: int, *, segmented_too: bool) -> None:
    """Whole planes of both means, patch by patch of some rows and columns."""
    rng = np.random.default_rng(4)
    scenes = seen(scene(0.0, 4.0, 5.0, 1), scene(0.0, 4.0, 1.0, 2), rng.random(BOX.shape) < 0.02)
    own, others = scenes.own, scenes.others
    labels = np.where(rng.random(BOX.shape) < 0.1, 3, 0) if segmented_too else np.zeros(BOX.shape)
    both = dataclasses.replace(scenes, segmentation=segmented(labels) if segmented_too else None)
    levels = both.levels(stars(), LevelMeasurement(patch_px=patch_px))
    mine = own.mean().value
    of_others = others.weight.astype(float)
    of_all = (own.numerator + of_others * others.value) / (own.weight + of_others)
    difference, free = mine - of_all, labels == 0
    wanted = {}
    for top in range(-(-BOX.y0 // patch_px), BOX.y1 // patch_px):
        for left in range(-(-BOX.x0 // patch_px), BOX.x1 // patch_px):
            y, x = top * patch_px - BOX.y0, left * patch_px - BOX.x0
            here = (slice(y, y + patch_px, EVERY), slice(x, x + patch_px, EVERY))
            use = free[here] & (own.weight[here] > 0)
            if use.sum() >= 0.95 * free[here].sum():
                wanted[(top << 24) + left] = float(np.median(difference[here][use]))
    assert len(wanted) > 10
    assert levels.patch.tolist() == list(wanted)
    assert levels.sky == pytest.approx(list(wanted.values()), abs=1e-5)
