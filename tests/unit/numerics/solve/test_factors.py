"""From pixels of a chip to the plane of the component."""

from __future__ import annotations

import numpy as np
import pytest

from alignsvc.domain.correction import Correction, Geometry
from alignsvc.domain.geometry import Points, TangentPlane
from alignsvc.domain.grid import MosaicGrid
from alignsvc.domain.measurement import Displacements
from alignsvc.domain.quality import DisplacementFlag
from alignsvc.numerics.solve.factors import (
    FactorBuilder,
    GridPlaces,
    step_jacobian,
    weighted_by_source,
)

COMMON = TangentPlane(40.0, -30.0)
GRID = MosaicGrid(0, COMMON, 0.05, 500.0, 500.0, (1000, 1000), (256, 256))
N = 6


def measured(**changes) -> Displacements:
    columns = {
        "source": np.arange(N),
        "chip": np.zeros(N, int),
        "x": np.linspace(0, 100, N),
        "y": np.linspace(50, 0, N),
        "dx": np.linspace(-0.2, 0.3, N),
        "dy": np.linspace(0.1, -0.4, N),
        "own_covariance": np.tile([1e-4, 2e-5, 3e-4], (N, 1)),
        "template_covariance": np.tile([1e-5, 0.0, 1e-5], (N, 1)),
        "weight_share": np.linspace(0.1, 0.6, N),
        "peak": np.ones(N),
        "flags": np.zeros(N, int),
    }
    return Displacements(**(columns | changes))


def places() -> GridPlaces:
    """A chip turned by 90 degrees on the grid, with pixels 1.5 times as large."""
    position = Points(np.linspace(100, 900, N), np.linspace(200, 700, N))
    return GridPlaces(position, np.tile(1.5 * np.array([[0.0, -1.0], [1.0, 0.0]]), (N, 1, 1)))


def test_the_offset_from_the_whole_mosaic_is_the_share_of_the_others():
    builder = FactorBuilder(GRID, COMMON)
    values = measured()
    whole = builder.to_mosaic(3, values, places())
    others = builder.to_others(3, values, places())
    np.testing.assert_allclose(
        whole.residual, (1 - values.weight_share)[:, None] * others.residual, rtol=1e-12
    )
    # Chip x runs along grid y (north); chip y against grid x, and east is against grid x.
    np.testing.assert_allclose(others.residual[:, 1], 0.05 * 1.5 * values.dx, rtol=1e-12)
    np.testing.assert_allclose(others.residual[:, 0], 0.05 * 1.5 * values.dy, rtol=1e-12)
    assert whole.exposure == 3


def test_the_templates_noise_counts_only_where_the_template_is_the_truth():
    builder = FactorBuilder(GRID, COMMON, floor_px=0.0)
    unit = (0.05 * 1.5) ** 2
    whole = np.linalg.inv(builder.to_mosaic(0, measured(), places()).information) / unit
    others = np.linalg.inv(builder.to_others(0, measured(), places()).information) / unit
    np.testing.assert_allclose(whole[0], [[3e-4, 2e-5], [2e-5, 1e-4]], rtol=1e-9)
    np.testing.assert_allclose(others[0], [[3.1e-4, 2e-5], [2e-5, 1.1e-4]], rtol=1e-9)


def test_errors_in_common_turn_with_the_displacements_and_are_not_in_the_information():
    errors = np.zeros((N, 2, 3))
    errors[:, 0, 0], errors[:, 1, 2] = 0.01, 0.02
    common = measured(profile_error=errors, convention_error=errors[:, :, :1])
    plain, found = (
        FactorBuilder(GRID, COMMON).to_mosaic(0, one, places()) for one in (measured(), common)
    )
    assert plain.profile_error.shape == (N, 2, 0)
    assert (found.information == plain.information).all()
    # Chip x runs along north.
    wanted = 0.05 * 1.5 * np.array([[0.0, 0.0, 0.02], [0.01, 0.0, 0.0]])
    np.testing.assert_allclose(np.abs(found.profile_error), np.tile(wanted, (N, 1, 1)), atol=1e-12)
    np.testing.assert_allclose(found.convention_error, found.profile_error[:, :, :1])


def test_chips_with_fewer_errors_in_common_have_zeros():
    one, other = measured(), measured(profile_error=np.ones((N, 2, 3)))
    both = Displacements.concatenate([one, other])
    assert both.profile_error.shape == (2 * N, 2, 3)
    assert not both.profile_error[:N].any()
    assert (both.profile_error[N:] == 1).all()
    assert both.select(np.arange(N)).profile_error.shape == (N, 2, 3)


def test_the_floor_keeps_one_bright_source_from_carrying_the_fit():
    own = np.tile([1e-4, 0.0, 1e-4], (N, 1))
    own[0] = [1e-12, 0.0, 1e-12]
    factors = FactorBuilder(GRID, COMMON, floor_px=0.003).to_mosaic(
        0, measured(own_covariance=own), places()
    )
    weight = factors.information[:, 0, 0]
    assert weight[0] / weight[1] == pytest.approx((1e-4 + 9e-6) / 9e-6, rel=1e-6)


def test_flagged_and_unmeasured_rows_are_kept_out_and_never_poison_sums():
    flags = np.array([0, DisplacementFlag.DOMINATED, DisplacementFlag.HELD_OUT, 0, 0, 0])
    dx = np.array([0.1, 0.1, 0.1, np.nan, 0.1, 0.1])
    own = np.tile([1e-4, 0.0, 1e-4], (N, 1))
    own[4] = np.inf
    factors = FactorBuilder(GRID, COMMON).to_mosaic(
        0, measured(flags=flags, dx=dx, own_covariance=own), places()
    )
    assert factors.use.tolist() == [True, False, False, False, False, True]
    for values in (factors.residual, factors.jacobian, factors.information):
        assert np.isfinite(values).all()
    assert factors.information[2, 0, 0] > 0  # held out: it may serve in the end


def test_held_out_rows_serve_the_fit_when_asked_and_flagged_ones_never():
    flags = np.array([0, DisplacementFlag.DOMINATED, DisplacementFlag.HELD_OUT, 0, 0, 0])
    factors = FactorBuilder(GRID, COMMON).to_mosaic(0, measured(flags=flags), places())
    assert factors.held_out.tolist() == [False, False, True, False, False, False]
    everyone = factors.with_held_out()
    assert everyone.use.tolist() == [True, False, True, True, True, True]
    assert not everyone.held_out.any()


@pytest.mark.parametrize("own", [COMMON, TangentPlane(40.4, -30.3), TangentPlane(39.0, -89.0)])
def test_the_jacobian_is_what_a_small_step_does(own):
    generator = np.random.default_rng(0)
    reach = 4000 if own.dec_deg > -80 else 100
    start = own.to_sky(Points(*generator.uniform(-reach, reach, (2, 20))))
    position = COMMON.from_sky(start)
    jacobian = step_jacobian(position, COMMON, own)
    for k, size in enumerate([1.0, 1.0, 1e-4, 1e-4, 1e-4, 1e-4]):
        ends = []
        for sign in (-1, 1):
            parameters = np.array([0, 0, 1, 0, 0, 1.0])
            parameters[k] += sign * size
            step = Correction.from_parameters(own, parameters, Geometry.GENERAL)
            ends.append(COMMON.from_sky(own.to_sky(step.apply(own.from_sky(start)))))
        slope = np.stack([ends[1].x - ends[0].x, ends[1].y - ends[0].y], axis=1) / (2 * size)
        scale = max(1.0, np.abs(slope).max())
        np.testing.assert_allclose(jacobian[:, :, k], slope, atol=1e-7 * scale)


def test_a_users_weight_multiplies_the_information_and_zero_leaves_a_source_out():
    plain = FactorBuilder(GRID, COMMON).to_mosaic(0, measured(), places())
    ids = np.unique(plain.source)
    weight = np.linspace(0.0, 2.0, len(ids))
    weighted = weighted_by_source(plain, ids, weight)
    of_row = weight[np.searchsorted(ids, plain.source)]
    np.testing.assert_array_equal(weighted.information, plain.information * of_row[:, None, None])
    assert not weighted.use[of_row == 0].any()
    assert (weighted.use[of_row > 0] == plain.use[of_row > 0]).all()
