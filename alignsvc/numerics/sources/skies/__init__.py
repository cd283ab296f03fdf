"""Ways to estimate the sky of a chip."""

from alignsvc.domain.chip_sky import SkyEstimator
from alignsvc.registry import Registry

SKIES: Registry[SkyEstimator] = Registry("sky", __name__)
