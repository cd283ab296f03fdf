"""Handing a run in: plan it here, have its driver started where it outlives the client."""

from __future__ import annotations

import time
from dataclasses import dataclass

from alignsvc.config.build import build_cluster
from alignsvc.config.schema import Config
from alignsvc.engine.base import JobBackend
from alignsvc.engine.driver_places import DriverRun, driver_place
from alignsvc.engine.own_folder import log_folder
from alignsvc.io.driver_record import DriverRecord, read_driver_record, write_driver_record
from alignsvc.io.lease import LeaseOwner, live_owner
from alignsvc.io.locations import RunLocations
from alignsvc.io.places import Place
from alignsvc.run.driving.service import RunOptions, prepare, ready
from alignsvc.run.planning.plan import Plan
from alignsvc.run.records import events
from alignsvc.run.records.run_directory import absolute_directory
from alignsvc.run.records.stored import state_of
from alignsvc.run.status.submitted_driver import ask_driver
from alignsvc.run.verbs.checking import checked


@dataclass(frozen=True, slots=True)
class Submission:
    """A run that was handed in.

    Parameters
    ----------
    directory : Place
    run_id : str
    driver : DriverRecord or None
        What `submit` started last; None if it never had to.
    owner : LeaseOwner or None
        Who drives the run by now; None if nobody does yet.
    is_new : bool
        Whether this submission started the driver. False: there was one, or the run has ended.
    is_finished : bool
    """

    directory: Place
    run_id: str
    driver: DriverRecord | None
    owner: LeaseOwner | None
    is_new: bool
    is_finished: bool = False

    def line(self) -> str:
        """Return in a sentence what became of it."""
        if self.is_finished:
            return f"run {self.run_id} has ended: `alignsvc report {self.directory}`"
        who = self.driver if self.owner is None else self.owner
        if not self.is_new:
            return f"run {self.run_id} has a driver already ({who}): attached to it"
        return f"run {self.run_id}: handed in as {self.driver}"


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """What `submit` would do.

    Parameters
    ----------
    plan : Plan
    driver_script : str
        Job script, manifest or command line of the driver.
    worker_script : str
        Job script of a worker; empty if workers are no jobs.
    """

    plan: Plan
    driver_script: str
    worker_script: str


def submit(config: Config, options: RunOptions) -> Submission:
    """Prepare a run and start its driver, unless it has one; return at once.

    Raises
    ------
    ConfigError
        As of `begin`; or a program or package that takes the driver is not here.
    ResourceError
        The driver was not taken.
    RunStoreError
        The directory cannot be used.
    """
    place = driver_place(config.cluster.backend, build_cluster(config, None))
    plan = ready(config, options)
    run = absolute_directory(config.run.directory)
    objects = RunLocations(run).objects
    record, owner = read_driver_record(objects), live_owner(objects, time.time())
    if state_of(run).is_finished:
        return Submission(run, plan.run_id, record, None, is_new=False, is_finished=True)
    # Where nobody can tell, a second driver does no harm: it finds that there is one.
    waits = record is not None and ask_driver(run, record).is_there
    if owner is not None or waits:
        return Submission(run, plan.run_id, record, owner, is_new=False)
    prepare(plan, options)
    job = place.start(_driver_run(run, plan))
    record = DriverRecord(config.cluster.backend, job.id, job.log, time.time())
    write_driver_record(objects, record)
    return Submission(run, plan.run_id, record, None, is_new=True)


def rehearse(config: Config, listener: events.Listener = events.silent) -> Rehearsal:
    """Return what `submit` would do; nothing is written.

    Raises
    ------
    ConfigError
        As of `submit`.
    RunStoreError
        The run could not have the directory that is named.
    """
    backend = build_cluster(config, None)
    plan = checked(config, listener)
    run = absolute_directory(config.run.directory)
    script = driver_place(config.cluster.backend, backend).script(_driver_run(run, plan))
    if not isinstance(backend, JobBackend):
        return Rehearsal(plan, script, "")
    logs = backend.logs_of(RunLocations(run).objects, plan.run_id)
    return Rehearsal(plan, script, backend.worker_script(plan.run_id, logs))


def _driver_run(run: Place, plan: Plan) -> DriverRun:
    return DriverRun(str(run), plan.run_id, log_folder(RunLocations(run).objects, plan.run_id))
