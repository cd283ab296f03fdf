"""What tells one batch system from another, as a value."""

from __future__ import annotations

import getpass
import re
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from alignsvc.engine.extras import extra_package, missing_package, missing_programs
from alignsvc.errors import ConfigError, ResourceError, TransientError

#: What drives batch systems, and what of ours installs it.
_PACKAGE, _EXTRA = "dask_jobqueue", "batch"
_WALLTIME = re.compile(r"(?:(\d+)-)?(\d+):([0-5]\d):([0-5]\d)\Z")
#: A batch system that does not answer within so many seconds is asked again later.
ANSWER_S = 20.0


@dataclass(frozen=True, slots=True)
class ListedJob:
    """A job as its batch system lists it.

    Parameters
    ----------
    number : str
    words : str
        Its state, with the reason where one is given: ``PENDING (Resources)``.
    waits : bool
        Whether its turn has not come.
    """

    number: str
    words: str
    waits: bool


@dataclass(frozen=True, slots=True)
class BatchSystem:
    """A batch system as `dask_jobqueue` drives it, and what that lacks.

    Parameters
    ----------
    name : str
    cluster_class : str
        In `dask_jobqueue`.
    submit_command, cancel_command : str
        Programs that take a job, and remove one.
    account_field : str
        What it calls the account.
    walltime_format : str
        With ``{h}``, ``{m}``, ``{s}``.
    pass_on : callable
        From names of variables to the directive that has a job get them from whoever submits.
    listing : tuple of str
        Command that prints jobs, one a line, the number first.
    of_user, of_all : tuple of str
        What follows it: for the jobs of a user, whose name comes last, and for those of all.
    state_column : int
        Column of a job's state; what follows is the reason, if `has_reasons`.
    waiting, ended : str
        Patterns of the states of jobs that wait for their turn, and of those that are still listed
        though they have ended.
    state_words : mapping of str to str
        What letters of states mean; a state that is not there speaks for itself.
    has_reasons : bool
        Whether the reason of a state is listed.
    none_listed : str
        What it complains of when there is no job.
    driver_directives : tuple of str
        What a driver's job asks besides: to be told some time before it is ended.
    """

    name: str
    cluster_class: str
    submit_command: str
    cancel_command: str
    account_field: str
    walltime_format: str
    pass_on: Callable[[tuple[str, ...]], str]
    listing: tuple[str, ...]
    of_user: tuple[str, ...]
    of_all: tuple[str, ...]
    state_column: int
    waiting: str
    ended: str = ""
    state_words: Mapping[str, str] = field(default_factory=dict)
    has_reasons: bool = False
    none_listed: str = ""
    driver_directives: tuple[str, ...] = ()

    def cluster(self) -> Any:
        """Return the class of `dask_jobqueue` that stands for a cluster of jobs.

        Raises
        ------
        ConfigError
            The package is not installed.
        """
        package = extra_package(_PACKAGE, _EXTRA, self.name)
        return getattr(package, self.cluster_class)

    def missing_here(self) -> tuple[str, ...]:
        """Return sentences on what this machine lacks to submit, list and remove jobs."""
        programs = (self.submit_command, self.listing[0], self.cancel_command)
        return (
            *missing_package(_PACKAGE, _EXTRA, self.name),
            *missing_programs(programs, self.name),
        )

    def jobs(self) -> frozenset[str] | None:
        """Return the numbers of the user's jobs that wait or run; None if nobody answers."""
        try:
            return frozenset(self._listed(*self.of_user, getpass.getuser()))
        except TransientError:
            return None

    def job(self, number: str) -> ListedJob | None:
        """Return a job that waits or runs, whoever submitted it; None if it is not listed.

        Raises
        ------
        TransientError
            Nobody answers.
        """
        mine = self._listed(*self.of_user, getpass.getuser())
        return mine.get(number) or self._listed(*self.of_all).get(number)

    def _listed(self, *whose: str) -> dict[str, ListedJob]:
        program = self.listing[0]
        try:
            done = subprocess.run(
                [*self.listing, *whose], capture_output=True, text=True, timeout=ANSWER_S
            )
        except subprocess.TimeoutExpired as error:
            raise TransientError(f"{program} gave no answer within {ANSWER_S:g} s") from error
        except OSError as error:
            raise TransientError(f"{program} is not to be had here ({error.strerror})") from error
        if done.returncode and not (self.none_listed and self.none_listed in done.stderr):
            raise TransientError(f"{program}: {said(done.stderr)}")
        rows = (line.split() for line in done.stdout.splitlines())
        jobs = (self._read(row) for row in rows if row)
        return {job.number: job for job in jobs if job is not None}

    def _read(self, row: list[str]) -> ListedJob | None:
        """Return the job of a line; None if it tells of none that waits or runs."""
        number = re.match(r"\d+", row[0])
        state = "".join(row[self.state_column : self.state_column + 1])
        if number is None or (self.ended and re.fullmatch(self.ended, state)):
            return None
        reason = " ".join(row[self.state_column + 1 :]) if self.has_reasons else ""
        words = self.state_words.get(state, state)
        if reason.strip("()") not in ("", "None"):
            words = f"{words} ({reason.strip('()')})"
        return ListedJob(number.group(), words, re.fullmatch(self.waiting, state) is not None)

    def remove(self, number: str) -> None:
        """Remove a job that waits or runs.

        Raises
        ------
        ResourceError
            That is not possible; in its own words.
        """
        command = [self.cancel_command, number]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=ANSWER_S)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise ResourceError(f"{self.cancel_command}: {error}") from error
        if done.returncode:
            raise ResourceError(f"{self.cancel_command}: {said(done.stderr or done.stdout)}")

    def submitted(self, script: str, job: Any) -> str:
        """Submit a script as `dask_jobqueue` would a job of a worker; return the job's number.

        Raises
        ------
        ResourceError
            It was not taken.
        """
        command = str(job.submit_command).split()
        try:
            # All of them read a script from their input, and none keeps a file of it then.
            done = subprocess.run(
                command, input=script, capture_output=True, text=True, timeout=ANSWER_S * 3
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise ResourceError(f"{self.name}: {command[0]}: {error}; submit again") from error
        if done.returncode:
            raise ResourceError(
                f"{self.name}: {command[0]} did not take the job: {said(done.stderr)}; mend "
                "that in section cluster and submit again"
            )
        number = re.search(job.job_id_regexp, done.stdout)
        if number is None:
            raise ResourceError(
                f"{self.name}: {command[0]} named no job, but said: {said(done.stdout)}; see "
                "whether there is one, else submit again"
            )
        return number.group("job_id")


def said(output: str) -> str:
    """Return what a program said, in one line."""
    return " ".join(output.split()) or "it said nothing"


def seconds_of(walltime: object, key: str) -> int:
    """Return a walltime in seconds.

    Raises
    ------
    ConfigError
        It is not written as hours:minutes:seconds, or days before that.
    """
    match = _WALLTIME.match(walltime) if isinstance(walltime, str) else None
    if match is None:
        raise ConfigError(
            f'{key}: found {walltime!r}, wanted hours:minutes:seconds in quotes, like "12:00:00" '
            'or "2-00:00:00" (without quotes YAML makes a number of it)'
        )
    days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
    return ((days * 24 + hours) * 60 + minutes) * 60 + seconds


def walltime_of(seconds: int, form: str) -> str:
    """Return a walltime in the form that a batch system reads."""
    minutes, left = divmod(seconds, 60)
    return form.format(h=f"{minutes // 60:02d}", m=f"{minutes % 60:02d}", s=f"{left:02d}")
