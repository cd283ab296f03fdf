"""A driver on this machine: a process of its own that stays when the client goes."""

from __future__ import annotations

import os
import shlex
import signal
import sys
from dataclasses import dataclass
from pathlib import Path

from alignsvc.engine.base import ClusterBackend
from alignsvc.engine.driver_places import (
    DRIVER_PLACES,
    DriverJob,
    DriverRun,
    DriverStanding,
    DriverState,
)
from alignsvc.errors import ResourceError
from alignsvc.io.lease import LeaseOwner

#: Of the file that the driver's output is appended to.
DRIVER_LOG = "driver.log"


def resume_command(where: str, python: str = sys.executable) -> list[str]:
    """Return the command of a driver: this very package, in the environment of `python`."""
    return [python, "-m", "alignsvc.cli.main", "resume", where]


@DRIVER_PLACES.register("local")
@DRIVER_PLACES.register("serial")
@DRIVER_PLACES.register("scheduler")
@DRIVER_PLACES.register("ssh")
@DRIVER_PLACES.register("gateway")
@dataclass(frozen=True, slots=True)
class DetachedProcess:
    """A process in a session of its own, without a terminal.

    Parameters
    ----------
    backend : ClusterBackend
        Whose workers it uses.
    """

    backend: ClusterBackend

    def script(self, run: DriverRun) -> str:
        """Return the command line, as a shell would be given it."""
        command = shlex.join(resume_command(run.where))
        return f"setsid {command} </dev/null >>{shlex.quote(str(_log(run)))} 2>&1 &\n"

    def start(self, run: DriverRun) -> DriverJob:
        """Start the driver.

        Raises
        ------
        ResourceError
            There is no process for it, or its log cannot be written.
        """
        log = _log(run)
        append = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        command = resume_command(run.where)
        try:
            log.parent.mkdir(parents=True, exist_ok=True)
            process = os.posix_spawn(
                command[0],
                command,
                os.environ,
                file_actions=[
                    (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                    (os.POSIX_SPAWN_OPEN, 1, str(log), append, 0o644),
                    (os.POSIX_SPAWN_DUP2, 1, 2),
                ],
                setsid=True,
            )
        except OSError as error:
            raise ResourceError(
                f"submit: the driver did not start ({error}); mend that and submit again"
            ) from error
        return DriverJob(_name(LeaseOwner.of_process(process)), str(log))

    def state_of(self, job: DriverJob) -> DriverState:
        """Return whether the process runs; ResourceError if it was started on another machine."""
        process = _here(job)
        return DriverState(DriverStanding.GONE if process.is_gone else DriverStanding.RUNS)

    def remove(self, job: DriverJob) -> None:
        """Tell the process to stop; ResourceError if that is not ours to say."""
        process = _here(job)
        if process.is_gone:
            return
        try:
            os.kill(process.pid, signal.SIGTERM)
        except ProcessLookupError:
            return
        except OSError as error:
            raise ResourceError(f"{process}: {error.strerror}") from error


def _log(run: DriverRun) -> Path:
    return run.logs / DRIVER_LOG


def _name(process: LeaseOwner) -> str:
    """Return what tells a process from all others, on all machines."""
    return f"{process.pid}@{process.started}@{process.host}"


def _here(job: DriverJob) -> LeaseOwner:
    pid, started, host = job.id.split("@", 2)
    process = LeaseOwner(host, int(pid), started)
    if host != LeaseOwner.this_process().host:
        raise ResourceError(f"{process} can only be asked there")
    return process
