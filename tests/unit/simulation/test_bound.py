"""The bound is what the best estimator reaches: checked by being that estimator."""

import numpy as np
import pytest

from alignsvc.domain.correction import Geometry
from alignsvc.domain.geometry import Points
from alignsvc.simulation.bound import JointCovariance, Sighting, joint_covariance
from alignsvc.simulation.coverage import CoveredPoints, linear_design
from alignsvc.simulation.fisher import position_information
from alignsvc.simulation.reading_settings import sky_settings
from alignsvc.simulation.render import star_gradients
from alignsvc.simulation.simulate import draw_truth

N_EXPOSURES = 4


def _sightings(seed: int) -> list[Sighting]:
    """Return exposures in a row, 100 arcsec wide, each sharing half of its sources."""
    generator = np.random.default_rng(seed)
    x, y = generator.uniform(0.0, 300.0, 90), generator.uniform(0.0, 100.0, 90)
    sightings = []
    for k in range(N_EXPOSURES):
        seen = np.flatnonzero((x >= 50.0 * k) & (x < 50.0 * k + 100.0))
        root = generator.normal(0.0, 10.0, (len(seen), 2, 2))
        information = root @ np.swapaxes(root, 1, 2) + 30.0 * np.eye(2)
        sightings.append(Sighting(seen, Points(x[seen], y[seen]), information))
    return sightings


def _measured(sightings: list[Sighting], generator: np.random.Generator) -> list[np.ndarray]:
    """Return the errors of measured positions, drawn with the stated information."""
    errors = []
    for sighting in sightings:
        root = np.linalg.cholesky(np.linalg.inv(sighting.information))
        draws = generator.standard_normal((len(sighting.source), 2, 1))
        errors.append((root @ draws)[..., 0])
    return errors


def _best_solution(
    sightings: list[Sighting], errors: list[np.ndarray], joint: JointCovariance
) -> np.ndarray:
    """Return all corrections by one dense least-squares fit, source positions included."""
    p = joint.geometry.n_parameters
    n_parameters = len(sightings) * p
    rows, target = [], []
    for k, (sighting, error) in enumerate(zip(sightings, errors, strict=True)):
        design = joint.own_design(np.full(len(error), k), sighting.place)
        for number, source in enumerate(sighting.source):
            white = np.linalg.cholesky(sighting.information[number]).T
            row = np.zeros((2, n_parameters + 2 * 90))
            row[:, k * p : (k + 1) * p] = design[number]
            row[:, n_parameters + 2 * source : n_parameters + 2 * source + 2] = np.eye(2)
            rows.append(white @ row)
            target.append(white @ error[number])
    solution = np.linalg.lstsq(np.concatenate(rows), np.concatenate(target), rcond=1e-10)[0]
    return solution[:n_parameters]


def _lattice() -> CoveredPoints:
    """Return a lattice over the row of exposures; only what the operators need is filled in."""
    x, y = (axis.ravel() for axis in np.meshgrid(np.arange(5.0, 250.0, 10.0), [20.0, 80.0]))
    point, exposure = [], []
    for number in range(len(x)):
        cover = [k for k in range(N_EXPOSURES) if 50.0 * k <= x[number] < 50.0 * k + 100.0]
        if len(cover) >= 2:
            point += [number] * len(cover)
            exposure += cover
    _, compact = np.unique(point, return_inverse=True)
    place = Points(x[point], y[point])
    ones = np.ones(len(point))
    return CoveredPoints(
        plane=None,  # type: ignore[arg-type]
        exposures=tuple(range(N_EXPOSURES)),
        point=compact,
        exposure=np.array(exposure),
        chip=np.zeros(len(point), np.int64),
        pixel=place,
        place=place,
        scale_arcsec=ones,
    )


@pytest.mark.parametrize("geometry", list(Geometry))
def test_the_best_estimator_has_the_rms_of_the_bound(geometry: Geometry) -> None:
    sightings, covered = _sightings(1), _lattice()
    joint = joint_covariance(sightings, geometry)
    assert joint is not None
    field = joint.design(covered.exposure, covered.place)
    general = Geometry.GENERAL.basis
    generator = np.random.default_rng(2)
    trials = [_best_solution(sightings, _measured(sightings, generator), joint) for _ in range(60)]
    for rest in (covered.less_local_mean, lambda f: covered.less_common_map(f, general)):
        found = rest(field @ np.array(trials).T)
        columns = rest(field).reshape(-1, field.shape[-1])
        predicted = np.trace(columns @ joint.covariance @ columns.T) / len(columns)
        # 60 trials of correlated numbers: about 5 % in the mean square.
        assert np.mean(found**2) == pytest.approx(predicted, rel=0.2)


def test_a_pair_has_the_sum_of_both_variances() -> None:
    place = Points(np.array([0.0, 10.0, 0.0, 10.0]), np.array([0.0, 0.0, 10.0, 10.0]))
    first = Sighting(np.arange(4), place, np.tile(100.0 * np.eye(2), (4, 1, 1)))
    second = Sighting(np.arange(4), place, np.tile(25.0 * np.eye(2), (4, 1, 1)))
    joint = joint_covariance([first, second], Geometry.SHIFT)
    assert joint is not None
    between = np.array([1.0, 0.0, -1.0, 0.0])
    assert between @ joint.covariance @ between == pytest.approx((0.01 + 0.04) / 4.0)


@pytest.mark.parametrize("geometry", list(Geometry))
def test_a_common_map_costs_nothing_and_means_nothing(geometry: Geometry) -> None:
    joint = joint_covariance(_sightings(3), geometry)
    assert joint is not None
    # As many directions are undetermined as the geometry has parameters.
    values = np.linalg.eigvalsh(joint.covariance)
    assert (values < 1e-10 * values[-1]).sum() == geometry.n_parameters
    place = Points(np.array([3.0, 200.0, 120.0, 40.0]), np.array([1.0, 90.0, 7.0, 60.0]))
    common = (linear_design(place) @ geometry.basis).reshape(8, -1)
    field = joint.design(np.arange(4), place).reshape(8, -1)
    # Some correction of all exposures makes each common field, and it has no variance.
    solved = np.linalg.pinv(joint.covariance)
    gauge = np.eye(len(solved)) - solved @ joint.covariance
    made = field @ gauge
    rest = common - made @ np.linalg.lstsq(made, common, rcond=1e-8)[0]
    assert np.abs(rest).max() < 1e-6 * np.abs(common).max()


def test_more_freedom_costs_accuracy() -> None:
    sightings, covered = _sightings(5), _lattice()
    sums = []
    for geometry in Geometry:
        joint = joint_covariance(sightings, geometry)
        assert joint is not None
        local = covered.less_local_mean(joint.design(covered.exposure, covered.place))
        columns = local.reshape(-1, local.shape[-1])
        sums.append(np.trace(columns @ joint.covariance @ columns.T))
    assert sums == sorted(sums)


def test_chips_cost_what_the_sources_do_not_tell_of_them() -> None:
    """Two chips, of which each exposure sees sources; with and without sources on both."""
    geometry = Geometry.SHIFT
    errors = []
    for crossing in (0, 3, 30):
        sightings = _of_two_chips(crossing)
        joint = joint_covariance(sightings, geometry)
        assert joint is not None
        between = np.array([0.0, 0, 0, 0, 1, 0, -1, 0])  # of the two chips
        errors.append(float(between @ joint.covariance @ between))
    # Nobody sees a source on both chips: what is between them is not told, and counts as known.
    assert errors[0] == pytest.approx(0.0, abs=1e-12)
    # A crossing source is measured twice with variance 0.01, from exposures that the others join.
    assert errors[1] == pytest.approx(0.02 / 3 + 0.02 / 80)
    assert errors[2] == pytest.approx(0.02 / 30 + 0.02 / 80)


def _of_two_chips(crossing: int) -> list[Sighting]:
    """Two exposures of 40 sources on each chip; of more, one sees on chip 0 what the other on 1."""
    n = 80 + crossing
    generator = np.random.default_rng(1)
    place = Points(generator.uniform(0, 100, n), generator.uniform(0, 100, n))
    sightings = []
    for k in (0, 1):
        chip = np.concatenate([np.repeat([0, 1], 40), np.full(crossing, k)])
        chips = np.zeros((n, 2, 2, 2))
        chips[np.arange(n), :, chip] = np.eye(2)
        information = np.tile(100.0 * np.eye(2), (n, 1, 1))
        sightings.append(Sighting(np.arange(n), place, information, chips.reshape(n, 2, 4)))
    return sightings


def test_too_few_common_sources_have_no_bound() -> None:
    place = Points(np.array([0.0, 10.0]), np.array([0.0, 3.0]))
    pair = [Sighting(np.arange(2), place, np.tile(np.eye(2), (2, 1, 1)))] * 2
    assert joint_covariance(pair, Geometry.GENERAL) is None
    assert joint_covariance(pair, Geometry.RSHIFT) is not None


def test_the_information_is_what_a_fit_of_the_known_profile_reaches() -> None:
    """Maximum likelihood of x, y, flux and background on noisy stamps of one star."""
    settings = sky_settings(
        {
            "seed": 5,
            "layout": {"name": "stack", "count": 1},
            "camera": {"shape": [64, 64]},
            "stars": {"density": 100, "flux": [300, 300]},
        }
    )
    truth = draw_truth(settings)
    exposure = truth.exposures[0]
    found = position_information(truth.sources, exposure, exposure.chips[0])
    margin = np.minimum.reduce([found.pixel.x, found.pixel.y, 63 - found.pixel.x])
    best = int(np.argmax(np.minimum(margin, 63 - found.pixel.y)))
    one = Points(found.pixel.x[best : best + 1], found.pixel.y[best : best + 1])
    gradients = star_gradients(exposure.psf, one, 20)
    electrons = 300.0 * exposure.electrons_per_flux
    light = electrons * gradients.stamps.values[0]
    columns = [electrons * gradients.d_x[0], electrons * gradients.d_y[0], light, light**0]
    design = np.stack([column.ravel() for column in columns], axis=1)
    sigma = np.sqrt(exposure.background_variance + light.ravel())
    noise = np.random.default_rng(1).normal(0.0, sigma, (2000, len(sigma)))
    fitted = np.linalg.lstsq(design / sigma[:, None], (noise / sigma).T, rcond=None)[0]
    predicted = np.linalg.inv(found.information[best])
    assert np.cov(fitted[:2]) == pytest.approx(predicted, rel=0.1, abs=0.1 * predicted[0, 0])


def test_saturated_sources_tell_nothing() -> None:
    common = {"seed": 5, "layout": {"name": "stack", "count": 1}, "camera": {"shape": [256, 256]}}
    deep = draw_truth(sky_settings({**common, "detector": {"saturation": 1e9}}))
    full = draw_truth(sky_settings({**common, "detector": {"saturation": 2000.0}}))
    all_of_them, rest = (
        position_information(t.sources, t.exposures[0], t.exposures[0].chips[0])
        for t in (deep, full)
    )
    lost = np.setdiff1d(all_of_them.index, rest.index)
    assert len(lost) > 0
    assert deep.sources.flux[lost].min() > deep.sources.flux[rest.index].max() * 0.8


def test_a_star_cut_by_the_edge_tells_less() -> None:
    truth = draw_truth(
        sky_settings(
            {"seed": 5, "layout": {"name": "stack", "count": 1}, "stars": {"flux": [100, 100]}}
        )
    )
    exposure = truth.exposures[0]
    found = position_information(truth.sources, exposure, exposure.chips[0])
    along_x = found.information[:, 0, 0]
    inner = (np.abs(found.pixel.x - 255.5) < 200) & (np.abs(found.pixel.y - 255.5) < 200)
    cut = found.pixel.x < 1.0
    assert cut.any()
    assert along_x[cut].max() < 0.8 * np.median(along_x[inner])
