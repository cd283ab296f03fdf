"""Workers as jobs of Slurm."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from alignsvc.engine.batch_system import BatchSystem
from alignsvc.engine.clusters import CLUSTERS
from alignsvc.engine.clusters.batch import BatchBackend


@CLUSTERS.register("slurm")
@dataclass(frozen=True, slots=True, kw_only=True)
class SlurmBackend(BatchBackend):
    """See `BatchBackend`; `queue` is a partition."""

    system: ClassVar[BatchSystem] = BatchSystem(
        name="slurm",
        cluster_class="SLURMCluster",
        submit_command="sbatch",
        cancel_command="scancel",
        account_field="account",
        walltime_format="{h}:{m}:{s}",
        pass_on=lambda names: f"--export=ALL,{','.join(names)}",
        listing=("squeue", "--noheader", "--format=%A %T %r"),
        of_user=("--user",),
        of_all=(),
        state_column=1,
        has_reasons=True,
        waiting=r"PENDING|CONFIGURING|REQUEUED|REQUEUE_HOLD|REQUEUE_FED|SPECIAL_EXIT|RESV_DEL_HOLD",
        driver_directives=("--signal=B:TERM@60",),
    )
