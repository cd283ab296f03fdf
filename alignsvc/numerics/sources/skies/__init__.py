"""Ways to estimate the sky of a chip."""

from alignsvc.numerics.sources.background import SkyEstimator
from alignsvc.registry import Registry

SKIES: Registry[SkyEstimator] = Registry("sky", __name__)
