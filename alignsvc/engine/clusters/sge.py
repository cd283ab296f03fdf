"""Workers as jobs of Grid Engine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from alignsvc.engine.batch_system import BatchSystem
from alignsvc.engine.clusters import CLUSTERS
from alignsvc.engine.clusters.batch import BatchBackend


@CLUSTERS.register("sge")
@dataclass(frozen=True, slots=True, kw_only=True)
class SgeBackend(BatchBackend):
    """See `BatchBackend`. Each site has names of its own for memory and for parallel jobs.

    Parameters
    ----------
    resource_spec : str or None
        What ``-l`` asks for each job, like ``h_vmem=4G``: `memory` alone asks for nothing. Several
        cores to a job need ``-pe NAME CORES`` among the `extra_directives`.
    """

    system: ClassVar[BatchSystem] = BatchSystem(
        name="sge",
        cluster_class="SGECluster",
        submit_command="qsub",
        cancel_command="qdel",
        account_field="project",
        walltime_format="{h}:{m}:{s}",
        pass_on=lambda names: f"-v {','.join(names)}",
        listing=("qstat",),
        of_user=("-u",),
        of_all=("-u", "*"),
        state_column=4,
        waiting=".*(qw|wq).*",
        state_words={
            "qw": "queued",
            "hqw": "held",
            "Eqw": "held after an error; see qstat -j",
            "t": "starting",
            "r": "running",
        },
    )

    resource_spec: str | None = None

    def _own_options(self) -> dict[str, Any]:
        return {"resource_spec": self.resource_spec}
