"""The family of profiles: what sources show in windows of pixels (see `Profile` for the laws).

One file each; a galaxy's profile is `convolved`, of a member of the family of galaxies.
"""

from __future__ import annotations

from alignsvc.numerics.models.light.profile import Profile
from alignsvc.registry import Registry

PROFILES: Registry[Profile] = Registry("profile", __name__)
