"""How many workers a cluster may have: so many always, or as many as there are tasks for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from alignsvc.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Scaling:
    """How many workers there may be."""

    minimum: int
    maximum: int

    @property
    def is_adaptive(self) -> bool:
        """Whether workers come and go."""
        return self.minimum != self.maximum


def read_scaling(found: object) -> Scaling:
    """Return ``cluster.workers`` as written in the configuration.

    Raises
    ------
    ConfigError
        They are not numbers in order.
    """
    if isinstance(found, int) and not isinstance(found, bool) and found >= 1:
        return Scaling(found, found)
    if isinstance(found, Mapping) and set(found) <= {"minimum", "maximum"}:
        least, most = found.get("minimum", 0), found.get("maximum")
        if isinstance(least, int) and isinstance(most, int) and 0 <= least <= most and most:
            return Scaling(least, most)
    raise ConfigError(
        f"cluster.workers: found {found!r}, wanted a number from 1 on, or "
        "{minimum: 0, maximum: 20}"
    )
