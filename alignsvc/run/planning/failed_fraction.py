"""How many exposures may fail before a run is not worth its while: a pure function of ends."""

from __future__ import annotations

from collections.abc import Iterable

from alignsvc.domain.outcome import Status
from alignsvc.errors import AlignError
from alignsvc.io.journal import ExposureEnded
from alignsvc.run.planning.plan import Plan


class TooManyFailed(AlignError):
    """More exposures failed than the configuration allows; what is done is kept.

    Parameters
    ----------
    message : str
    ended : tuple of ExposureEnded
        All that ended so far, in order of id.
    """

    def __init__(self, message: str, ended: tuple[ExposureEnded, ...]) -> None:
        super().__init__(message)
        self.ended = ended


def require_enough(plan: Plan, ended: Iterable[ExposureEnded]) -> None:
    """Raise TooManyFailed if more than ``run.max_failed_fraction`` of the exposures failed.

    Parameters
    ----------
    plan : Plan
        With those that could not take part.
    ended : iterable of ExposureEnded
        Those that ended since.
    """
    ends = {end.exposure: end for end in (*plan.ended, *ended)}
    n_all = len({header.ref.id for header in plan.headers} | set(ends))
    n_failed = sum(end.status is Status.FAILED for end in ends.values())
    allowed = plan.config.run.max_failed_fraction
    if n_failed > allowed * n_all:
        raise TooManyFailed(
            f"{n_failed} of {n_all} exposures failed, more than run.max_failed_fraction: "
            f"{allowed:g} allows; mend them or allow more, and run the configuration again: what "
            "is done is kept",
            tuple(ends[name] for name in sorted(ends)),
        )
