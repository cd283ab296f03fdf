"""What a user may say of single parameters: held, shared by name, expressions of others."""

import math
from dataclasses import replace

import numpy as np
import pytest
from tutorial_scene import SCALE, TUTORIAL, errors_of, exposures, header

import alignsvc
from alignsvc.domain.arrays import FloatArray
from alignsvc.errors import ConfigError
from alignsvc.numerics.models.outcomes import Outcome
from alignsvc.numerics.models.parameters import Fixed, Free, Joined, Mapped, Quantity, Unknown
from alignsvc.numerics.models.placings import turned_pixels, turned_sky

TURN = math.pi / 32
TURNED = replace(TUTORIAL, turn=TURN)
CD = header().wcs.cd


def stars() -> alignsvc.SceneSources:
    return alignsvc.SceneSources(*header().all_pix2world(TUTORIAL.x, TUTORIAL.y, 0))


def shift(start: tuple[float, float] = (0.0, 0.0)) -> Free:
    names = ("east", "north")
    return Free(tuple(Unknown(n, s, step=1.0) for n, s in zip(names, start, strict=True)))


def placed(matrix: Quantity, seed: int = 1) -> list[alignsvc.SceneExposure]:
    first, second = exposures(TURNED, seed)
    return [first, replace(second, placing=Joined((shift(), matrix)))]


def derivatives(of: Quantity, at: FloatArray) -> FloatArray:
    sides = [[of.values(at + sign * 1e-6 * unit) for sign in (1, -1)] for unit in np.eye(len(at))]
    return np.stack([(one - other) / 2e-6 for one, other in sides], axis=1)


@pytest.mark.parametrize("turned", ["sky", "pixels"])
def test_a_turn_of_the_sky_or_of_the_pixels_finds_the_same_header(turned: str) -> None:
    angle = Unknown("turn", 0.0, step=0.1)
    matrix = turned_sky(angle) if turned == "sky" else turned_pixels(CD, angle)
    fitted = alignsvc.fit_scene(placed(matrix), stars())
    assert fitted.outcome is Outcome.CONVERGED, fitted.message
    errors = errors_of(fitted, TURNED)
    assert (np.abs(errors.found) < 4 * errors.claimed).all()
    assert fitted.fit is not None
    # Stars turn from x towards y by TURN; pixels follow them backwards, and east is to the left.
    expected = TURN if turned == "sky" else -TURN
    error = fitted.fit.error_of("turn")
    assert abs(fitted.fit.value_of("turn") - expected) < 4 * error < 0.01
    usual = alignsvc.fit_scene(exposures(TURNED, 1), stars()).exposures[1].correction
    own = fitted.exposures[1].correction
    assert usual is not None
    assert own is not None
    np.testing.assert_allclose(own.parameters, usual.parameters, atol=1e-4)
    np.testing.assert_allclose(own.covariance, usual.covariance, rtol=0.02, atol=1e-9)


def test_pixels_of_an_oblong_grid_do_not_turn_as_the_sky_does() -> None:
    cd, angle = [[-2.0, 0.0], [0.0, 1.0]], Unknown("turn", 0.3)
    made = turned_pixels(cd, angle, Unknown("scale", 1.1))
    at = np.array([0.3, 1.1])
    turn = np.array([[math.cos(0.3), -math.sin(0.3)], [math.sin(0.3), math.cos(0.3)]])
    wanted = 1.1 * np.array(cd) @ turn @ np.linalg.inv(cd)
    np.testing.assert_allclose(made.values(at).reshape(2, 2), wanted, atol=1e-14)
    np.testing.assert_allclose(made.jacobian(at), derivatives(made, at), atol=1e-8)
    assert made.unknowns == (angle, Unknown("scale", 1.1))
    with pytest.raises(ValueError, match="a CD matrix with an inverse wanted"):
        turned_pixels([[1.0, 1.0], [1.0, 1.0]], angle)
    with pytest.raises(ValueError, match="a matrix of 2 columns wanted"):
        Mapped(((1.0,),), Fixed((1.0, 2.0)))


def test_a_known_turn_is_held_and_only_the_shift_is_found() -> None:
    cos, sin = math.cos(TURN), math.sin(TURN)
    right = turned_sky(Unknown("turn", TURN)).values(np.array([TURN]))
    np.testing.assert_allclose(right, [cos, -sin, sin, cos])
    fitted = alignsvc.fit_scene(placed(Fixed((cos, -sin, sin, cos))), stars())
    assert fitted.outcome is Outcome.CONVERGED
    correction = fitted.exposures[1].correction
    assert correction is not None
    np.testing.assert_array_equal(correction.parameters[2:], [cos, -sin, sin, cos])
    np.testing.assert_array_equal(correction.covariance[2:, 2:], 0.0)
    assert fitted.chi2_per_degree < 1.05


def test_a_width_may_be_shared_by_some_exposures_and_another_number_be_known() -> None:
    first, second = exposures(TUTORIAL, 2)
    third = replace(first, name="r again")

    def shape(width: str, start: float) -> Joined:
        return Joined((Free((Unknown(width, math.log(start), 0.0, 3.0),)), Fixed((0.33,))))

    assert [p.name for p in alignsvc.SceneSettings().star_parameters] == [
        "log_fwhm",
        "inverse_index",
    ]
    images = [
        replace(first, psf_shape=shape("sharp", 4.0)),
        replace(second, psf_shape=shape("blurred", 7.0)),
        replace(third, psf_shape=shape("sharp", 4.0)),
    ]
    fitted = alignsvc.fit_scene(images, stars(), alignsvc.SceneSettings(geometry="shift"))
    assert fitted.outcome is Outcome.CONVERGED, fitted.message
    assert fitted.fit is not None
    names = [unknown.name for unknown in fitted.fit.unknowns]
    assert names.count("sharp") == 1
    assert not any("inverse_index" in name for name in names)
    widths = [one.psf[0].value for one in fitted.exposures]
    assert widths[0] == widths[2]
    np.testing.assert_allclose(np.exp(widths[:2]), [5.0, 6.0], rtol=0.05)
    assert [one.psf[1].error for one in fitted.exposures] == [0.0] * 3


def test_one_source_may_be_held_and_the_others_free() -> None:
    held = replace(stars(), held=np.array([True, False, False]))
    free = alignsvc.SceneSettings(geometry=("shift", "shift"))
    fitted = alignsvc.fit_scene(exposures(TUTORIAL, 3), held, free)
    assert fitted.outcome is Outcome.CONVERGED, fitted.message
    assert fitted.sources is not None
    assert fitted.sources.covariance is not None
    assert (fitted.sources.covariance[0] == 0).all()
    assert (fitted.sources.covariance[1, [0, 1], [0, 1]] > 0).all()
    moved = np.hypot(
        (fitted.sources.sky.ra[0] - held.ra[0]) * 3600, (fitted.sources.sky.dec[0] - held.dec[0])
    )
    assert moved < 1e-6 * SCALE


def test_exposures_of_a_known_ratio_of_fluxes_share_them() -> None:
    first, _ = exposures(TUTORIAL, 4)
    brighter = replace(
        exposures(TUTORIAL, 5)[0],
        pixels=2.5 * exposures(TUTORIAL, 5)[0].pixels,
        variance=2.5**2 * np.asarray(first.variance),
        name="longer",
    )
    band = alignsvc.SceneSettings(geometry="shift", flux="band")
    wrong = alignsvc.fit_scene([first, brighter], stars(), band)
    right = alignsvc.fit_scene([first, replace(brighter, flux_scale=2.5)], stars(), band)
    assert wrong.chi2_per_degree > 2 > 1.1 > right.chi2_per_degree
    assert right.sources is not None
    np.testing.assert_allclose(right.sources.flux[:, 1], 2.5 * right.sources.flux[:, 0])
    np.testing.assert_allclose(right.sources.flux[:, 0], TUTORIAL.flux[0], rtol=0.03)
    shown = right.exposures[1]
    np.testing.assert_allclose(shown.pixels, brighter.pixels)
    left = shown.residual[np.isfinite(shown.residual)]
    assert abs(left.mean()) < 5 * left.std() / math.sqrt(left.size)
    with pytest.raises(ConfigError, match="flux_scale 0 found"):
        replace(first, flux_scale=0)


def test_mistakes_about_parameters_are_told() -> None:
    first, second = exposures(TUTORIAL, 2)
    with pytest.raises(ConfigError, match="placing of 2 numbers found, wanted 6"):
        replace(second, placing=shift())
    with pytest.raises(ConfigError, match="both a placing and correction 'camera' found"):
        replace(second, correction="camera", placing=Fixed((0.0, 0.0, 1.0, 0.0, 0.0, 1.0)))
    one = replace(first, psf_shape=Fixed((1.5,)))
    with pytest.raises(ConfigError, match=r"psf_shape of 1 numbers found, wanted 2: log_fwhm, inv"):
        alignsvc.fit_scene([one, second], stars())
    with pytest.raises(ConfigError, match="psf_shape found with star 'empirical'"):
        alignsvc.fit_scene([one, second], stars(), alignsvc.SceneSettings(star="empirical"))
    a, b = (
        replace(each, psf_shape=Free((Unknown("w", start), Unknown("v", 0.3))))
        for each, start in ((first, 1.5), (second, 1.6))
    )
    with pytest.raises(ConfigError, match="two unknowns are named w and differ"):
        alignsvc.fit_scene([a, b], stars())
    with pytest.raises(ConfigError, match=r"held of shape \(2,\)"):
        replace(stars(), held=np.array([True, False]))
