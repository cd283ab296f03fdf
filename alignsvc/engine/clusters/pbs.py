"""Workers as jobs of PBS Professional, OpenPBS or Torque."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from alignsvc.engine.batch_system import BatchSystem
from alignsvc.engine.clusters import CLUSTERS
from alignsvc.engine.clusters.batch import BatchBackend


@CLUSTERS.register("pbs")
@dataclass(frozen=True, slots=True, kw_only=True)
class PbsBackend(BatchBackend):
    """See `BatchBackend`.

    Parameters
    ----------
    resource_spec : str or None
        What ``-l`` asks for each job of workers; None = ``select=1:ncpus=CORES:mem=MEMORY``.
        Torque wants ``nodes=1:ppn=CORES,mem=MEMORY``.
    """

    system: ClassVar[BatchSystem] = BatchSystem(
        name="pbs",
        cluster_class="PBSCluster",
        submit_command="qsub",
        cancel_command="qdel",
        account_field="account",
        walltime_format="{h}:{m}:{s}",
        pass_on=lambda names: f"-v {','.join(names)}",
        listing=("qstat",),
        of_user=("-u",),
        of_all=("-a",),
        state_column=9,
        waiting="[QHWT]",
        ended="[CF]",
        state_words={
            "Q": "queued",
            "H": "held",
            "W": "waits for its time",
            "T": "is being moved",
            "R": "running",
            "S": "suspended",
            "E": "ending",
        },
    )

    resource_spec: str | None = None

    def _own_options(self) -> dict[str, Any]:
        return {"resource_spec": self.resource_spec}
