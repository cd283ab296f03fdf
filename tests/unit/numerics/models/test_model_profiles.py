"""The laws of the family: every registered profile obeys them, present and future."""

from __future__ import annotations

import itertools
import math
from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from model_examples import EXAMPLES, accuracy, exact_pixels, sharpest

from alignsvc.errors import ConfigError
from alignsvc.numerics.models.light.pixel_rules import NARROWEST, narrowest, nodes_for, pixel_rule
from alignsvc.numerics.models.light.profile import Places, Profile, ProfileColumns
from alignsvc.numerics.models.profiles import PROFILES
from alignsvc.numerics.models.profiles.convolved import Convolved

SIDE = 13
MIDDLE = SIDE // 2

laws = settings(max_examples=8, deadline=None)


def test_sizes_come_first(profile):
    assert [p.name for p in profile.parameters][:1] in ([], ["log_fwhm"], ["log_radius"])


def test_every_profile_has_an_example():
    assert {name for name, _ in EXAMPLES.values()} == set(PROFILES.names())


@pytest.fixture(params=EXAMPLES, scope="module")
def profile(request) -> Profile:
    name, options = EXAMPLES[request.param]
    return PROFILES.build(name, options)


def bounds(profile: Profile) -> np.ndarray:
    """Lowest and highest shape: (2, k)."""
    return np.array([(p.lowest, p.highest) for p in profile.parameters]).reshape(-1, 2).T


def shapes(profile: Profile, smallest: float = 0.0) -> st.SearchStrategy[np.ndarray]:
    """Shapes within the bounds; sizes up to 9 px, beyond which nothing changes but the scale."""
    lowest, highest = bounds(profile).copy()
    if len(lowest):
        lowest[0], highest[0] = max(lowest[0], math.log(smallest or 1e-9)), math.log(9)
    return st.tuples(*map(st.floats, lowest, highest)).map(np.array)


places = st.tuples(*(st.floats(MIDDLE - 1, MIDDLE + 1),) * 2)


def columns_at(profile: Profile, at: tuple[float, float], shape: np.ndarray) -> ProfileColumns:
    return profile(Places(np.array([at[0]]), np.array([at[1]]), SIDE), shape)


def tolerance(columns: ProfileColumns) -> float:
    """What rounding leaves in differences of the fourth order, over the peak."""
    return 1e-3 if columns.value.dtype == np.float32 else 2e-7


def slope(values, step: float) -> np.ndarray:
    """The derivative at 0 of a function, by five points."""
    outer, inner = values(2 * step) - values(-2 * step), values(step) - values(-step)
    return (8 * inner - outer) / (12 * step)


@laws
@given(data=st.data())
def test_derivatives_by_the_centre_are_those_of_the_value(profile, data):
    shape, (x, y) = data.draw(shapes(profile)), data.draw(places)
    found = columns_at(profile, (x, y), shape)
    limit = tolerance(found) * np.abs(found.value).max()
    step = 3e-2 if found.value.dtype == np.float32 else 2e-3
    by_x = slope(lambda d: columns_at(profile, (x + d, y), shape).value, step)
    by_y = slope(lambda d: columns_at(profile, (x, y + d), shape).value, step)
    np.testing.assert_allclose(found.d_x, by_x, rtol=0, atol=limit)
    np.testing.assert_allclose(found.d_y, by_y, rtol=0, atol=limit)


@laws
@given(data=st.data())
def test_derivatives_by_the_shape_are_those_of_the_value(profile, data):
    shape, at = data.draw(shapes(profile)), data.draw(places)
    found = columns_at(profile, at, shape)
    limit = tolerance(found) * np.abs(found.value).max()
    # Short, as splines have knots: across one, differences miss by a jump of the third derivative.
    step = 5e-3 if found.value.dtype == np.float32 else 2e-4
    assert found.d_shape.shape == (1, len(profile.parameters), SIDE, SIDE)
    for k in range(len(profile.parameters)):
        unit = np.eye(len(shape))[k]
        by_shape = slope(lambda d, unit=unit: columns_at(profile, at, shape + d * unit).value, step)
        np.testing.assert_allclose(found.d_shape[:, k], by_shape, rtol=0, atol=limit)


@laws
@given(data=st.data())
def test_the_profile_is_symmetric_about_its_centre(profile, data):
    shape, (x, y) = data.draw(shapes(profile)), data.draw(places)
    one = columns_at(profile, (x, y), shape)
    turned = columns_at(profile, (SIDE - 1 - x, SIDE - 1 - y), shape)
    limit = 1e-6 * np.abs(one.value).max() if one.value.dtype == np.float32 else 1e-12
    np.testing.assert_allclose(one.value, turned.value[:, ::-1, ::-1], rtol=0, atol=limit)
    np.testing.assert_allclose(one.d_x, -turned.d_x[:, ::-1, ::-1], rtol=0, atol=5 * limit)


@laws
@given(data=st.data())
def test_the_centre_moves_the_profile_against_its_gradient(profile, data):
    """By a whole pixel the star moves and the picture of it does not change."""
    shape, (x, y) = data.draw(shapes(profile)), data.draw(places)
    one, moved = (columns_at(profile, (x + d, y), shape) for d in (0, 1))
    np.testing.assert_allclose(moved.value[..., 1:], one.value[..., :-1], rtol=1e-5, atol=1e-7)


@settings(laws, max_examples=5)
@given(data=st.data())
def test_a_pixel_holds_the_integral_over_it(profile, data):
    shape, at = data.draw(shapes(profile, sharpest(profile))), data.draw(places)
    # A cloud of stars on a large ellipse would show its single stars.
    shape[:1] = np.minimum(shape[:1], np.log(3)) if isinstance(profile, Convolved) else shape[:1]
    found = columns_at(profile, at, shape).value[0]
    exact = exact_pixels(profile, at, shape, SIDE)
    np.testing.assert_allclose(found, exact, rtol=0, atol=accuracy(profile) * exact.max())


@pytest.mark.parametrize("elliptical", [False, True])
@pytest.mark.parametrize("nodes", NARROWEST)
def test_nodes_suffice_for_the_sharpest_that_they_are_for(nodes, elliptical):
    """The smallest width, at all corners of the other bounds."""
    profile = PROFILES.build("moffat", {"elliptical": elliptical, "nodes": nodes})
    sharpest = math.log(narrowest(nodes, elliptical=elliptical))
    for corner in itertools.product(*((p.lowest, p.highest) for p in profile.parameters[1:])):
        shape = np.array([sharpest, *corner])
        for at in ((6.0, 6.0), (6.25, 6.1), (6.5, 6.5)):
            found = columns_at(profile, at, shape).value[0]
            exact = exact_pixels(profile, at, shape, SIDE)
            np.testing.assert_allclose(found, exact, rtol=0, atol=1.05e-4 * exact.max())


def test_all_the_flux_is_1(profile):
    """In a window of 60 times the width; the widest wings hold 1.5 % beyond it."""
    lowest, highest = bounds(profile)
    side = int(60 * max(1.0, sharpest(profile))) | 1
    for part in (0.1, 0.5, 0.9):
        shape = lowest + part * (highest - lowest)
        if sharpest(profile):
            shape[0] = math.log(sharpest(profile))
        elif len(shape):
            shape[0] = lowest[0]
        found = profile(Places(np.array([side / 2]), np.array([side / 2 + 0.3]), side), shape)
        assert found.value.sum() == pytest.approx(1, abs=0.015)
        assert found.value.sum() <= 1 + 2e-3


def test_each_window_is_for_itself(profile):
    """Shapes of each window, and the same with one shape for all."""
    rng = np.random.default_rng(3)
    x, y = MIDDLE + rng.uniform(-1, 1, (2, 5))
    lowest, highest = bounds(profile)
    shape = lowest + rng.uniform(0.2, 0.6, (5, len(lowest))) * (highest - lowest)
    together = profile(Places(x, y, SIDE), shape)
    for i in range(5):
        alone = profile(Places(x[i : i + 1], y[i : i + 1], SIDE), shape[i])
        for column in fields(ProfileColumns):
            one, same = getattr(together, column.name)[i], getattr(alone, column.name)[0]
            np.testing.assert_allclose(one, same, rtol=1e-12, atol=1e-15)


def test_no_windows_give_no_columns(profile):
    found = profile(Places(np.empty(0), np.empty(0), SIDE), np.empty((0, len(profile.parameters))))
    assert found.value.shape == (0, SIDE, SIDE)
    assert found.d_shape.shape == (0, len(profile.parameters), SIDE, SIDE)


@pytest.mark.parametrize(
    ("x", "y", "side"), [([1.0], [1.0, 2.0], 5), ([[1.0]], [[1.0]], 5), ([1.0], [1.0], 0)]
)
def test_places_that_make_no_windows_are_refused(x, y, side):
    with pytest.raises(ValueError, match="places: wanted"):
        Places(np.array(x), np.array(y), side)


def test_a_shape_of_the_wrong_length_is_refused(profile):
    wrong = np.zeros(len(profile.parameters) + 1)
    with pytest.raises(ValueError, match="wanted"):
        columns_at(profile, (MIDDLE, MIDDLE), wrong)


@pytest.mark.parametrize("name", ["moffat", "gaussian", "gaussians", "sersic"])
def test_single_precision_errs_by_a_hundred_thousandth_of_the_largest(name):
    built, options = EXAMPLES[name] if name in EXAMPLES else EXAMPLES[f"two {name}"]
    double = PROFILES.build(built, options)
    lowest, highest = bounds(double)
    at = Places(np.array([MIDDLE + 0.3]), np.array([MIDDLE - 0.2]), SIDE)
    for part in (0.3, 0.5, 0.7):
        shape = lowest + part * (highest - lowest)
        exact, found = double(at, shape), replace(double, precision="single")(at, shape)
        for column in fields(ProfileColumns):
            wanted, single = (getattr(each, column.name) for each in (exact, found))
            largest = np.abs(wanted).max(axis=(-2, -1), keepdims=True)
            assert single.dtype == np.float32
            assert (np.abs(single - wanted) <= 1e-5 * largest).all()
        np.testing.assert_allclose(found.value, exact.value, atol=1e-6 * exact.value.max())


def test_an_unknown_precision_is_refused():
    with pytest.raises(ConfigError, match="precision 'half', wanted 'double' or 'single'"):
        PROFILES.build("moffat", {"precision": "half"})


@pytest.mark.parametrize("elliptical", [False, True])
def test_nodes_are_the_fewest_that_suffice(elliptical):
    for fwhm in np.geomspace(0.75, 12, 40):
        chosen = nodes_for(fwhm, elliptical=elliptical)
        fewer = [n for n in NARROWEST if n < chosen]
        assert fwhm >= narrowest(chosen, elliptical=elliptical) or chosen == max(NARROWEST)
        assert all(fwhm < 1.2 * narrowest(n, elliptical=elliptical) for n in fewer)


def test_a_rule_that_does_not_exist_is_refused():
    with pytest.raises(ConfigError, match="9 nodes in a pixel, wanted one of 5, 8"):
        PROFILES.build("moffat", {"nodes": 9})


@pytest.mark.parametrize(("nodes", "degree"), [(5, 3), (8, 5), (12, 7), (25, 9), (49, 13)])
def test_rules_are_right_for_polynomials_of_their_degree(nodes, degree):
    rule = pixel_rule(nodes)
    assert len(rule.x) == nodes
    for a, b in itertools.product(range(degree + 1), repeat=2):
        if a + b <= degree:
            even = a % 2 == b % 2 == 0
            exact = 0.5 ** (a + b) / ((a + 1) * (b + 1)) if even else 0
            assert (rule.weight * rule.x**a * rule.y**b).sum() == pytest.approx(exact, abs=1e-14)


def test_a_moffat_without_wings_is_a_gaussian():
    at = Places(np.array([6.2]), np.array([5.9]), SIDE)
    gaussian = PROFILES.build("gaussian", {})(at, np.array([1.2]))
    moffats = [PROFILES.build("moffat", {})(at, np.array([1.2, v])).value for v in (0.02, 0.04)]
    np.testing.assert_allclose(2 * moffats[0] - moffats[1], gaussian.value, atol=3e-5)


def test_a_moffat_has_the_flux_within_a_radius_that_its_formula_says():
    side, fwhm, inverse = 101, 5.0, 0.4
    profile = PROFILES.build("moffat", {})
    at = Places(np.array([50.0]), np.array([50.0]), side)
    found = profile(at, np.array([math.log(fwhm), inverse])).value[0]
    y, x = np.indices((side, side)) - 50
    within = np.hypot(x, y) < 20.3
    wide = 20.3**2 * 4 * (2**inverse - 1) / fwhm**2
    assert found[within].sum() == pytest.approx(1 - (1 + wide) ** (1 - 1 / inverse), abs=2e-4)


def test_an_ellipse_has_its_long_axis_where_e_points():
    profile = replace(PROFILES.build("gaussian", {}), elliptical=True)
    at = Places(np.array([20.0, 20.0]), np.array([20.0, 20.0]), 41)
    shape = np.array([[math.log(6), 0.2, 0.0], [math.log(6), 0.0, 0.2]])
    light = profile(at, shape).value
    y, x = np.indices((41, 41)) - 20
    xx, xy, yy = ((light * m).sum((1, 2)) for m in (x * x, x * y, y * y))
    # Axis ratio (1 - e) / (1 + e), and 1/12 of the pixel on each variance.
    assert (xx[0] - 1 / 12) / (yy[0] - 1 / 12) == pytest.approx((1.2 / 0.8) ** 2, rel=1e-3)
    assert xy[0] == pytest.approx(0, abs=1e-9)
    assert xx[1] == pytest.approx(yy[1], rel=1e-9)
    assert xy[1] > 0
