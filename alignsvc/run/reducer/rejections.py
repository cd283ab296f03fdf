"""Why the sources of an exposure that could not be solved were of no use to it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from alignsvc.domain.measurement import Displacements
from alignsvc.domain.quality import FLAG_TEXT, DisplacementFlag
from alignsvc.io.journal import ExposureEnded
from alignsvc.io.locations import RunLocations
from alignsvc.io.tables import read_table
from alignsvc.reasons import SkipReason
from alignsvc.run.reducer.solve_group import Measured
from alignsvc.run.stages.running import Tools
from alignsvc.tasks.measure import displacements_name, key_of
from alignsvc.wording import counted

#: Reasons that a sentence names.
_NAMED = 3


def with_rejections(
    tools: Tools, measured: Sequence[Measured], ended: Sequence[ExposureEnded]
) -> tuple[ExposureEnded, ...]:
    """Return the ends with, for those of too few sources, why the others did not count."""
    objects = RunLocations(tools.run).objects
    by_id = {one.exposure.id: one for one in measured}
    said = []
    for end in ended:
        one = by_id.get(end.exposure)
        if one is not None and end.reason == SkipReason.TOO_FEW_SOURCES.value:
            name = displacements_name(key_of(end.exposure, one.factors.name))
            found = read_table(objects, name, Displacements)
            end = replace(end, message=f"{end.message} ({rejections(found)})")
        said.append(end)
    return tuple(said)


def rejections(displacements: Displacements) -> str:
    """Return how many sources were measured, and the most frequent reasons not to use them."""
    if not len(displacements):
        return "no source of the mosaic lies on it"
    counts = {
        flag: int(np.count_nonzero(displacements.flags & int(flag)))
        for flag in DisplacementFlag
        if flag is not DisplacementFlag.HELD_OUT
    }
    worst = sorted((flag for flag in counts if counts[flag]), key=lambda flag: -counts[flag])
    told = ", ".join(f"{counts[flag]}: {FLAG_TEXT[flag]}" for flag in worst[:_NAMED])
    lying = counted(len(displacements), "source of the mosaic lies", "sources of the mosaic lie")
    return f"{lying} on it{'; not used for ' if told else ''}{told}"
