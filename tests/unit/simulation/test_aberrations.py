"""Stars with tails, and stars that grow wider across the camera."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from alignsvc.domain.geometry import Points
from alignsvc.errors import ConfigError
from alignsvc.simulation.profiles import moffat_mixture
from alignsvc.simulation.reading_settings import sky_settings
from alignsvc.simulation.render import GalaxyShape, galaxy_values, star_gradients, star_stamps
from alignsvc.simulation.settings import AberrationSettings

MIDDLE = Points(np.array([20.2]), np.array([19.9]))


def first_moment(stamp: np.ndarray) -> tuple[float, float]:
    step = np.arange(len(stamp)) - len(stamp) // 2
    return float((stamp * step).sum()), float((stamp * step[:, None]).sum())


def test_a_tail_moves_its_part_of_the_light_and_no_more() -> None:
    plain = moffat_mixture(3.0, 4.5)
    both = (plain, plain.with_tail(0.2, (3.0, -2.0)))
    stamps = [star_stamps(psf, MIDDLE, 60).values[0] for psf in both]
    moved = np.subtract(first_moment(stamps[1]), first_moment(stamps[0]))
    assert moved == pytest.approx([0.2 * 3, 0.2 * -2], abs=5e-3)
    assert stamps[1].sum() == pytest.approx(stamps[0].sum(), abs=1e-3)


def test_slopes_of_a_star_with_a_tail_are_those_of_its_values() -> None:
    psf, step = moffat_mixture(3.0, 3.0).with_tail(0.2, (2.0, 1.0)), 1e-4
    found = star_gradients(psf, MIDDLE, 10)
    ahead, behind = (
        star_stamps(psf, Points(MIDDLE.x + by, MIDDLE.y), 10).values for by in (step, -step)
    )
    np.testing.assert_allclose(found.d_x, (ahead - behind) / (2 * step), atol=1e-7)


def test_a_galaxy_has_the_tail_of_the_stars() -> None:
    """Behind a PSF that is all tail it is the galaxy elsewhere."""
    psf = moffat_mixture(4.0, 3.0)
    moved = replace(psf, offsets=np.tile([3.0, 1.0], (len(psf.sigmas), 1)))
    shape = GalaxyShape(moffat_mixture(1.0, 3.0), np.array([[2.0, 0.3], [0.1, 1.5]]))
    np.testing.assert_allclose(
        galaxy_values(moved, shape, (0.1, 0.2), 16),
        galaxy_values(psf, shape, (3.1, 1.2), 16),
        atol=1e-12,
    )


def test_a_tail_of_all_the_light_is_refused() -> None:
    with pytest.raises(ConfigError, match="less than half"):
        AberrationSettings(tail=(0.1, 0.9))
    with pytest.raises(ConfigError, match="tail_arcsec"):
        sky_settings({"aberrations": {"tail_arcse": 1.0}})
