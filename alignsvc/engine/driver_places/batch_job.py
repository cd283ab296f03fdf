"""A driver as a job of the batch system whose jobs its workers are."""

from __future__ import annotations

import shlex
import sys
from dataclasses import dataclass

from alignsvc.engine.clusters import require_here
from alignsvc.engine.clusters.batch import BatchBackend
from alignsvc.engine.driver_places import (
    DRIVER_PLACES,
    DriverJob,
    DriverRun,
    DriverStanding,
    DriverState,
)
from alignsvc.engine.driver_places.local import resume_command


@DRIVER_PLACES.register("slurm")
@DRIVER_PLACES.register("pbs")
@DRIVER_PLACES.register("sge")
@DRIVER_PLACES.register("lsf")
@dataclass(frozen=True, slots=True)
class BatchJob:
    """A job that runs the driver; it submits the jobs of its workers itself.

    Parameters
    ----------
    backend : BatchBackend
        Whose workers it uses; its ``driver`` settings are for this job.
    """

    backend: BatchBackend

    def script(self, run: DriverRun) -> str:
        """Return the job script."""
        command = resume_command(run.where, self.backend.python or sys.executable)
        return "\n".join(
            (
                "#!/usr/bin/env bash",
                self.backend.job_header(run.run_id, run.logs),
                *self.backend.prologue(),
                # In place of the shell: what the batch system tells the job, the driver hears.
                f"exec {shlex.join(command)}",
                "",
            )
        )

    def start(self, run: DriverRun) -> DriverJob:
        """Submit the job.

        Raises
        ------
        ConfigError
            No jobs can be submitted from here.
        ResourceError
            It was not taken.
        """
        system = self.backend.system
        require_here(self.backend)
        run.logs.mkdir(parents=True, exist_ok=True)
        number = system.submitted(self.script(run), system.cluster().job_cls)
        return DriverJob(number, str(run.logs))

    def state_of(self, job: DriverJob) -> DriverState:
        """Return how the batch system lists the job; TransientError if it does not answer."""
        found = self.backend.system.job(job.id)
        if found is None:
            return DriverState(DriverStanding.GONE)
        standing = DriverStanding.WAITS if found.waits else DriverStanding.RUNS
        return DriverState(standing, found.words)

    def remove(self, job: DriverJob) -> None:
        """Remove the job; ResourceError if the batch system does not."""
        self.backend.system.remove(job.id)
