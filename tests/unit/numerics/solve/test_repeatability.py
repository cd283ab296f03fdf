"""Measuring again makes steps of a size that is known beforehand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from alignsvc.domain.correction import Geometry
from alignsvc.numerics.solve.gauge import FixedGauge
from alignsvc.numerics.solve.joint_fit import JointFitter
from alignsvc.numerics.solve.repeatability import Repetition

#: arcsec per axis, a part of the error that all displacements of the scenes have.
DRAWN_ANEW = 0.0005
#: Takes errors at their word, which hold what is drawn anew.
FITTER = JointFitter(error_floor=None)


def measured_again(case, steps, generator):
    """Return factors after `steps` whose errors are the same but for what is drawn anew."""
    return [
        replace(
            f,
            residual=f.residual
            - f.jacobian @ step
            + np.sqrt(2.0) * DRAWN_ANEW * generator.normal(size=(len(f), 2)),
        )
        for f, step in zip(case.factors, steps, strict=True)
    ]


@pytest.mark.parametrize("geometry", [Geometry.RSHIFT, Geometry.GENERAL])
@pytest.mark.parametrize("name", ["stack", "strip"])
def test_a_repetition_makes_the_steps_that_it_is_said_to_make(scene, layouts, name, geometry):
    case = scene(layouts[name], geometry, noise=1.0, seed=3)
    fit = FITTER(case.factors, case.footprints)
    n = len(case.factors)
    said = Repetition().significance(fit, np.full(n, DRAWN_ANEW))
    generator = np.random.default_rng(4)
    seen = [
        FITTER(measured_again(case, fit.steps, generator), case.footprints).significance
        for _ in range(6)
    ]
    rms = np.sqrt(np.mean(np.square(seen)))
    assert np.sqrt(np.mean(said**2)) == pytest.approx(rms, rel=0.15)
    assert (np.array(seen) < 2.0 * said).mean() > 0.98
    assert fit.significance.min() > 5.0 * said.max()


def test_what_is_measured_the_same_again_makes_no_step(scene, layouts):
    case = scene(layouts["stack"], noise=1.0)
    fit = FITTER(case.factors, case.footprints)
    still = Repetition().significance(fit, np.zeros(len(case.factors)))
    assert (still == 0.0).all()


def test_an_exposure_that_stands_fast_takes_no_step(scene, layouts):
    case = scene(layouts["strip"], noise=1.0)
    fit = JointFitter(gauge=FixedGauge((0,)))(case.factors, case.footprints)
    said = Repetition(seed=1).significance(fit, np.full(len(case.factors), DRAWN_ANEW))
    assert said[0] == 0.0
    assert (said[1:] > 0.0).all()


class Phases:
    """Errors that go with where sources lie on the pixels, here and in the other exposures."""

    PIXEL = 0.1  # arcsec

    def __init__(self, case, seed: int) -> None:
        generator = np.random.default_rng(seed)
        self.case = case
        self.begin = [generator.uniform(0.0, 1.0, (len(f), 2)) for f in case.factors]

    def measured(self, totals) -> list:
        """Return factors of exposures that have been moved by `totals`."""
        found = []
        for f, total, begin in zip(self.case.factors, totals, self.begin, strict=True):
            moved = f.jacobian @ total
            turn = 2.0 * np.pi * (begin + moved / self.PIXEL)
            residual = f.residual - moved + np.sqrt(2.0) * DRAWN_ANEW * np.sin(turn)
            covariance = np.linalg.inv(f.information) + DRAWN_ANEW**2 * np.eye(2)
            found.append(replace(f, residual=residual, information=np.linalg.inv(covariance)))
        return found


def test_following_what_is_drawn_anew_leads_nowhere(scene, layouts):
    """In weak modes thousandths of a pixel here are tenths there, which draw them anew."""
    wrong = np.zeros((2, 5))
    for row, seed in zip(wrong, (0, 2), strict=True):
        case = scene(layouts["strip"], Geometry.GENERAL, noise=1.0, seed=seed, density=40.0)
        phases, totals = Phases(case, seed), np.zeros((len(case.factors), 6))
        for number in range(row.size):
            fit = FITTER(phases.measured(totals), case.footprints)
            said = Repetition().explains(fit, np.full(len(totals), DRAWN_ANEW))
            assert said.all() if number else not said.any()
            totals = totals + fit.steps
            moved = [f.jacobian @ s for f, s in zip(case.footprints, fit.steps, strict=True)]
            assert np.abs(moved).max() > 0.1 * Phases.PIXEL
            row[number] = np.mean(case.local_errors_arcsec(totals) ** 2)
    assert wrong[:, -1].mean() == pytest.approx(wrong[:, 0].mean(), rel=0.4)


def test_a_step_as_large_as_its_error_is_news_whatever_is_drawn_anew(scene, layouts):
    case = scene(layouts["stack"], noise=1.0, seed=3)
    everything = [replace(f, information=f.information / 1e4) for f in case.factors]
    fit = FITTER(everything, case.footprints)
    drawn_anew = np.full(len(everything), 1e3 * DRAWN_ANEW * fit.significance.max())
    assert fit.significance.min() > 1.0
    assert (Repetition().significance(fit, drawn_anew) > fit.significance).all()
    assert not Repetition().explains(fit, drawn_anew).any()
