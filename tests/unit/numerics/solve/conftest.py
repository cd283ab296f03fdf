"""The scenes of `solve_scenes`, as fixtures."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from solve_scenes import PLANE, Scene, grid_of, make_scene, stack_of, strip_of

from alignsvc.domain.correction import Correction, Geometry
from alignsvc.numerics.solve.steps import step_correction


@pytest.fixture
def scene() -> Callable[..., Scene]:
    return make_scene


@pytest.fixture
def layouts() -> dict[str, np.ndarray]:
    return {"stack": stack_of(8), "pair": stack_of(2), "strip": strip_of(24), "grid": grid_of(6)}


@pytest.fixture
def small_step() -> Callable[[np.ndarray, Geometry], Correction]:
    def build(step: np.ndarray, geometry: Geometry) -> Correction:
        return step_correction(PLANE, step, np.zeros((6, 6)), geometry)

    return build
