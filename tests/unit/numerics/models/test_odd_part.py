"""Stars of a chip that are lopsided, or that are not alike all over it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alignsvc.domain.geometry import Points
from alignsvc.numerics.displacement.stars.psf_from_stars import KnownStars
from alignsvc.numerics.displacement.stars.star_fit import StarFit, StarStack
from alignsvc.numerics.models.on_chip.chip_field import ChipField
from alignsvc.numerics.models.on_chip.chip_profile import ChipProfile, ProfileFromStars
from alignsvc.numerics.models.on_chip.odd_part import LopsidedStars, OddPart
from alignsvc.numerics.models.profiles.moffat import Moffat
from alignsvc.simulation.profiles import moffat_mixture
from alignsvc.simulation.render import star_stamps

HALF, SKY = 22, 500.0
TAIL_PX = (2.8, 1.2)
PROFILE = ProfileFromStars(("moffat",))
#: Of stars as they are smoothed: more than the widest here, FWHM 6 px.
SMOOTHED_PX = 3.0


def chip(
    fwhm_px: float, tail: float = 0.0, n: int = 24, seed: int | None = None, slope: float = 0.0
) -> KnownStars:
    """Stars of 2e4 to 3e5 electrons behind one optics; FWHM grows by `slope` from middle to edge.

    Without a seed there is no noise.
    """
    rng = np.random.default_rng(7 if seed is None else seed)
    at = Points(*(HALF + rng.uniform(-0.5, 0.5, (2, n))))
    on_chip = Points(*rng.uniform(0, 500, (2, n)))
    light = np.empty((n, 2 * HALF + 1, 2 * HALF + 1))
    for i in range(n):
        width = fwhm_px * (1 + slope * (on_chip.x[i] - 250) / 250)
        psf = moffat_mixture(width, 3.0).with_tail(tail, TAIL_PX)
        light[i] = star_stamps(psf, Points(at.x[i : i + 1], at.y[i : i + 1]), HALF).values[0]
    pixels = light * 10 ** rng.uniform(4.3, 5.5, n)[:, None, None]
    if seed is not None:
        pixels = pixels + rng.normal(size=pixels.shape) * np.sqrt(pixels + SKY)
    weight = np.full(pixels.shape, 1 / SKY, np.float32)
    stack = StarStack(pixels.astype(np.float32), weight, np.ones_like(weight), 1.0)
    return KnownStars(stack, at, at, on_chip)


def offset_mpx(profile: ChipProfile | None, stars: KnownStars) -> np.ndarray:
    """Where stars are found, beside where they are, mean over the stars, px / 1000."""
    assert profile is not None
    fitted = StarFit()(profile.seen_at(stars.on_chip), stars.stack, stars.begin)
    off = np.stack([fitted.place.x - stars.known.x, fitted.place.y - stars.known.y])
    return 1e3 * np.average(off, axis=1, weights=1 / fitted.covariance[:, 0, 0])


class TestStarsWithATail:
    def test_the_same_optics_put_stars_at_one_place_in_every_seeing(self) -> None:
        """Fits of a symmetric profile part by 65 mpx between FWHM 3.5 and 6 px."""
        symmetric, lopsided = [], []
        for fwhm_px in (3.5, 4.7, 6.0):
            stars = chip(fwhm_px, tail=0.1)
            symmetric.append(offset_mpx(PROFILE([stars], fwhm_px), stars))
            lopsided.append(offset_mpx(PROFILE([stars], fwhm_px, SMOOTHED_PX), stars))
        assert np.ptp(symmetric, axis=0)[0] > 50
        assert np.ptp(lopsided, axis=0).max() < 8

    def test_bright_and_faint_stars_are_at_one_place(self) -> None:
        """A bright star's own noise takes weight from its core: a fit looks at its tail more."""
        stars = chip(4.0, tail=0.1)
        profiles = (PROFILE([stars], 4.0), PROFILE([stars], 4.0, SMOOTHED_PX))
        parted = []
        for profile in profiles:
            assert profile is not None
            places = []
            for gain in (1.0, None):
                stack = StarStack(stars.stack.pixels, stars.stack.weight, stars.stack.window, gain)
                fitted = StarFit()(profile.seen_at(stars.on_chip), stack, stars.begin)
                places.append(1e3 * np.median(fitted.place.x - stars.known.x))
            parted.append(abs(places[0] - places[1]))
        assert parted[0] > 15
        assert parted[1] < 0.25 * parted[0]

    @pytest.mark.parametrize("seed", [1, 2, 3])
    def test_symmetric_stars_with_noise_stay_symmetric(self, seed: int) -> None:
        found = PROFILE([chip(4.5, seed=seed)], 4.5, SMOOTHED_PX)
        assert found is not None
        assert found.odd is None

    def test_a_neighbour_that_nobody_knows_does_not_make_all_stars_lopsided(self) -> None:
        stars = chip(4.5, seed=5)
        pixels = stars.stack.pixels.copy()
        pixels[0, :, 5:] += 0.1 * pixels[0, :, :-5]
        stack = StarStack(pixels, stars.stack.weight, stars.stack.window, 1.0)
        found = PROFILE.odd(
            ChipProfile(Moffat(True, 8), np.array([np.log(4.5), 0.0, 0.0, 1 / 3])),
            [KnownStars(stack, stars.begin, stars.known, stars.on_chip)],
            ChipField.around([stars.on_chip]),
            SMOOTHED_PX,
        )
        assert found is None


class TestOddPart:
    FIELD = ChipField(250.0, 250.0, 250.0)

    def stars(self, on_chip: Points) -> LopsidedStars:
        light = np.zeros((3, 2, 2))
        light[0], light[1] = [[0.04, -0.05], [0.01, -0.02]], [[0.02, -0.02], [0.0, 0.01]]
        odd = OddPart(np.array([1.5, 2.5]), light, np.zeros((3, 2)), self.FIELD)
        symmetric = ChipProfile(Moffat(True, 12), np.array([np.log(4.0), 0.03, 0.02, 0.3]))
        return LopsidedStars(symmetric.seen_at(on_chip), odd, on_chip)

    @settings(max_examples=15, deadline=None)
    @given(x=st.floats(-0.5, 0.5), y=st.floats(-0.5, 0.5), where=st.floats(-100, 600))
    def test_slopes_are_those_of_the_values_and_no_light_is_added(
        self, x: float, y: float, where: float
    ) -> None:
        step, side = 0.02, 2 * HALF + 1
        on_chip = Points(np.full(5, where), np.full(5, 100.0))
        moved = Points(
            HALF + x + step * np.array([0, 1, -1, 0, 0]),
            HALF + y + step * np.array([0, 0, 0, 1, -1]),
        )
        found = self.stars(on_chip).at(moved, side)
        value = found.value.astype(float)
        # A pixel that moves sees the opposite of a star that does.
        along_x, along_y = ((value[k + 1] - value[k]) / (2 * step) for k in (1, 3))
        largest = np.abs(found.along_x[0]).max()
        assert np.abs(found.along_x[0] - along_x).max() < 2e-3 * largest
        assert np.abs(found.along_y[0] - along_y).max() < 2e-3 * largest
        symmetric = self.stars(on_chip).symmetric.at(moved, side).value
        assert value[0].sum() == pytest.approx(symmetric[0].sum(), abs=1e-4)

    def test_of_windows_with_several_stars_the_first_come_first(self) -> None:
        on_chip = Points(np.array([0.0, 500.0]), np.array([250.0, 250.0]))
        at = Points(np.full(4, float(HALF)), np.full(4, float(HALF)))
        pairs = self.stars(on_chip).at(at, 2 * HALF + 1).value
        for k in (0, 1):
            one = self.stars(on_chip).select(np.array([k]))
            alone = one.at(Points(at.x[:1], at.y[:1]), 2 * HALF + 1).value[0]
            np.testing.assert_allclose(pairs[2 * k], alone, atol=1e-7)
            np.testing.assert_allclose(pairs[2 * k + 1], alone, atol=1e-7)
        assert np.abs(pairs[0] - pairs[2]).max() > 1e-4


class TestStarsThatChangeOverTheChip:
    def test_the_width_follows_them(self) -> None:
        stars = chip(4.5, seed=3, slope=0.1)
        found = PROFILE([stars], 4.5)
        assert found is not None
        assert found.slopes is not None
        part = ChipField.around([stars.on_chip]).half_size / 250
        assert found.slopes[0, 0] == pytest.approx(0.1 * part, abs=0.01)
        assert found.slopes[1, 0] == pytest.approx(0.0, abs=0.01)

    @pytest.mark.parametrize(("n", "slope"), [(24, 0.0), (7, 0.1)])
    def test_without_need_or_with_few_stars_it_is_one(self, n: int, slope: float) -> None:
        found = PROFILE([chip(4.5, n=n, seed=4, slope=slope)], 4.5)
        assert found is not None
        assert found.slopes is None

    def test_beyond_the_stars_it_is_as_at_the_edge(self) -> None:
        field = ChipField(250.0, 250.0, 200.0)
        assert field.terms(Points(np.array([900.0]), np.array([250.0]))).tolist() == [[1, 1, 0]]
