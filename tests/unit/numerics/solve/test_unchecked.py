"""What hangs on few sources is known less well than those say of themselves."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from alignsvc.domain.correction import Geometry
from alignsvc.numerics.solve.joint_fit import JointFit, JointFitter
from alignsvc.numerics.solve.unchecked import Unchecked

SHIFTS = slice(0, 2)
#: Nothing is added.
BELIEVING = JointFitter(unchecked=Unchecked(size=0.0))
#: Of a set that tells nothing of how many are wrong: one in fifteen.
DOUBTING = JointFitter(unchecked=Unchecked(expected=(1e6, 15e6)))
MOST = Unchecked().size ** 2 / 15


def with_few_bright(case, n_bright: int, times: float = 1e4) -> list:
    """Factors in which a few sources that all exposures see are many times as well measured."""
    common = sorted(set.intersection(*(set(f.source.tolist()) for f in case.factors)))
    # Far apart, so that a linear map can hang on three.
    bright = [common[i] for i in np.linspace(0, len(common) - 1, n_bright).astype(int)]
    changed = []
    for one in case.factors:
        more = np.where(np.isin(one.source, bright), times, 1.0)
        changed.append(replace(one, information=one.information * more[:, None, None]))
    return changed


def growth(case, factors, fitter: JointFitter = DOUBTING) -> np.ndarray:
    """By how much the variances of the shifts grow, for each exposure."""
    ours: JointFit = fitter(factors, case.footprints)
    plain = BELIEVING(factors, case.footprints)
    np.testing.assert_array_equal(ours.steps, plain.steps)
    traces = [np.trace(f.covariances[:, SHIFTS, SHIFTS], axis1=1, axis2=2) for f in (ours, plain)]
    return traces[0] / traces[1]


@pytest.mark.parametrize("geometry", list(Geometry))
def test_where_many_tell_nothing_is_added(scene, layouts, geometry):
    case = scene(layouts["stack"], geometry, noise=1.0)
    np.testing.assert_array_equal(growth(case, case.factors), 1.0)


def test_a_linear_map_on_three_sources_may_be_wrong_as_if_one_lied(scene, layouts):
    case = scene(layouts["stack"], Geometry.GENERAL)
    grown = growth(case, with_few_bright(case, 3))
    # At most by the variance added to a row that nothing checks.
    assert grown.min() > 1.5
    assert grown.max() < 1 + 1.5 * MOST


def test_a_few_that_check_each_other_add_nothing(scene, layouts):
    case = scene(layouts["stack"], Geometry.SHIFT)
    np.testing.assert_array_equal(growth(case, with_few_bright(case, 5)), 1.0)


def test_a_shift_on_one_source_is_unchecked(scene, layouts):
    case = scene(layouts["stack"], Geometry.SHIFT)
    assert growth(case, with_few_bright(case, 1)).min() > 2.0


def test_what_is_added_comes_by_degrees(scene, layouts):
    case = scene(layouts["stack"], Geometry.SHIFT)
    brightness = np.geomspace(1, 1e4, 80)
    grown = np.array([growth(case, with_few_bright(case, 1, times)) for times in brightness])
    np.testing.assert_array_equal(grown[0], 1.0)
    assert grown[-1].min() > 2.0
    assert np.abs(np.diff(grown, axis=0)).max() < 0.6


def test_a_set_in_which_nothing_is_found_wrong_is_believed(scene, layouts):
    case = scene(layouts["stack"], Geometry.SHIFT)
    few = with_few_bright(case, 1)
    rows = sum(len(one) for one in few)
    clean = growth(case, few, JointFitter())
    assert clean.max() < 1 + 1.5 * Unchecked().size ** 2 / rows
    spoilt = [replace(one, residual=one.residual.copy()) for one in few]
    for one in spoilt:
        one.residual[1:12:2] += 100 / np.sqrt(one.information[1:12:2, :1, 0])
    assert growth(case, spoilt, JointFitter()).min() > 1 + 4 * (clean.max() - 1)
