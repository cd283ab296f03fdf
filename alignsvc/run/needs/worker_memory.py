"""Whether what a run needs fits into its workers' memory: known before anything runs."""

from __future__ import annotations

from alignsvc.engine.base import ClusterBackend, KnowsItsMemory
from alignsvc.errors import ConfigError
from alignsvc.run.needs.prediction import Prediction, StagePrediction, predicted
from alignsvc.run.needs.task_needs import OF_TILES
from alignsvc.run.planning.plan import Plan

#: How far memory may be from what is predicted: a task that would not fit even so is refused, one
#: that might not is warned of.
ACCURACY = 1.5


def require_fits(plan: Plan, backend: ClusterBackend) -> tuple[str, ...]:
    """Return a sentence if tasks may not fit into their workers' memory; none if they do.

    Parameters
    ----------
    plan : Plan
    backend : ClusterBackend
        One that does not know its memory is not judged.

    Raises
    ------
    ConfigError
        They cannot fit: by more than the prediction can be wrong.
    """
    if not isinstance(backend, KnowsItsMemory) or not plan.exposures:
        return ()
    found = predicted(plan)
    worst, limit = found.hungriest, backend.worker_memory_bytes
    if limit is None or worst.memory_bytes <= limit:
        return ()
    text = f"{_needs(worst)}, a worker has {limit / 1e9:.2f}"
    what_to_do = f"set {_smaller_tiles(found, limit)}{backend.more_memory}"
    if worst.memory_bytes > ACCURACY * limit:
        raise ConfigError(f"memory: {text}; {what_to_do}")
    return (f"memory: {text}: it may be tried again alone, which takes longer; {what_to_do}",)


def unknown_memory(plan: Plan, backend: ClusterBackend) -> tuple[str, ...]:
    """Return a sentence if nobody can say before a run what its workers have.

    A backend without a word on memory (`engine.base.KnowsItsMemory`) is this very process, which
    has what the machine has.
    """
    if not isinstance(backend, KnowsItsMemory) or not plan.exposures:
        return ()
    if backend.worker_memory_bytes is not None:
        return ()
    return (
        f"memory: {_needs(predicted(plan).hungriest)}; what a worker has is not known from here: "
        f"see that it has that, else set {backend.more_memory}",
    )


def _needs(worst: StagePrediction) -> str:
    return f"{worst.stage} of {worst.subject} needs about {worst.memory_bytes / 1e9:.2f} GB"


def _smaller_tiles(found: Prediction, limit: int) -> str:
    """Return a word on tiles where they alone are too large."""
    too_large = {one.stage for one in found.stages if one.memory_bytes > limit}
    return "mosaic.tile_shape smaller, " if too_large <= OF_TILES.keys() else ""
