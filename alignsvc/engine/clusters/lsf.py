"""Workers as jobs of LSF."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from alignsvc.engine.batch_system import BatchSystem
from alignsvc.engine.clusters import CLUSTERS
from alignsvc.engine.clusters.batch import BatchBackend


@CLUSTERS.register("lsf")
@dataclass(frozen=True, slots=True, kw_only=True)
class LsfBackend(BatchBackend):
    """See `BatchBackend`; `memory` is asked for in the unit that ``lsf.conf`` names."""

    system: ClassVar[BatchSystem] = BatchSystem(
        name="lsf",
        cluster_class="LSFCluster",
        submit_command="bsub",
        cancel_command="bkill",
        account_field="project",
        walltime_format="{h}:{m}",
        pass_on=lambda names: f'-env "all, {", ".join(names)}"',
        listing=("bjobs", "-noheader", "-o", "jobid stat"),
        of_user=("-u",),
        of_all=("-u", "all"),
        state_column=1,
        waiting="PEND|PSUSP|WAIT|PROV",
        none_listed="No unfinished job found",
    )
