"""Whether the sources of a scene determine the corrections that a fit found."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from alignsvc.numerics.models.modelling.scene_advice import listed
from alignsvc.numerics.models.outcomes import Outcome
from alignsvc.numerics.models.parameters import ParameterTable
from alignsvc.numerics.models.scene.scene import Scene
from alignsvc.numerics.models.scene.scene_fit import SceneFit

#: Standard deviation from which an element of a matrix, which is about 1 or 0, is not known: the
#: errors of a fit hold for what is small.
_UNKNOWN = 0.1
#: The elements of the matrix among the numbers of a placing, which are those of a correction.
_MATRIX = slice(2, 6)


def determined(scene: Scene, fit: SceneFit) -> SceneFit:
    """Return the fit, as ill-conditioned where the matrix of an exposure is not known.

    Sources on a line say nothing of the stretch across it but what noise makes of their places.
    That is no singular matrix, so that the fit ends well, with a map that may collapse the sky.
    """
    if fit.covariance is None or not fit.outcome.is_answer:
        return fit
    table = ParameterTable([exposure.numbers for exposure in scene.exposures])
    said = []
    for e, exposure in enumerate(scene.exposures):
        by, index = table.jacobian(e, fit.value)[_MATRIX], table.index[e]
        variance = np.diagonal(by @ fit.covariance[np.ix_(index, index)] @ by.T)
        error = float(np.sqrt(variance.max()))
        if error > _UNKNOWN:
            said.append(f"matrix of {exposure.name} (known to +- {error:.2g})")
    if not said:
        return fit
    message = (
        f"{Outcome.ILL_CONDITIONED.message}: {listed(said, ', ')}; its sources are faint, or lie "
        "on a line or at one place"
    )
    return replace(fit, outcome=Outcome.ILL_CONDITIONED, message=message)
