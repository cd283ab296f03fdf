"""Settings of jobs of a batch system: what a script can hold, and what the driver's job gets."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from alignsvc.engine.batch_system import seconds_of
from alignsvc.engine.memory_size import size_bytes
from alignsvc.errors import ConfigError


@dataclass(frozen=True, slots=True)
class DriverJobSettings:
    """What the job of a driver gets that `alignsvc submit` hands in.

    Parameters
    ----------
    walltime : str
        Of the whole run, waiting for workers included. When it is over the run can be resumed.
    memory : str
    cores : int
    queue, resource_spec : str or None
        None = those of the workers.
    """

    walltime: str = "24:00:00"
    memory: str = "4 GiB"
    cores: int = 1
    queue: str | None = None
    resource_spec: str | None = None

    def __post_init__(self) -> None:
        seconds_of(self.walltime, "cluster.driver.walltime")
        size_bytes(self.memory, "cluster.driver.memory")
        require_count(self.cores, "cluster.driver.cores")
        require_word(self.queue, "cluster.driver.queue")


def require_count(number: object, key: str) -> None:
    """Raise ConfigError unless a setting is a whole number from 1 on."""
    if not isinstance(number, int) or isinstance(number, bool) or number < 1:
        raise ConfigError(f"{key}: found {number!r}, wanted a whole number from 1 on")


def require_word(text: object, key: str) -> None:
    """Raise ConfigError unless a setting is None or one word that a shell takes as it is."""
    if text is not None and (
        not isinstance(text, str) or not re.fullmatch(r"[^\s'\"`$;&|]+", text)
    ):
        raise ConfigError(
            f"{key}: found {text!r}, wanted one word: a job script has no quotes for it"
        )


def require_lines(lines: object, key: str) -> None:
    """Raise ConfigError unless a setting is a list of texts without line breaks."""
    given = lines if isinstance(lines, Sequence) and not isinstance(lines, str) else [None]
    if not all(isinstance(one, str) and "\n" not in one for one in given):
        raise ConfigError(f"{key}: found {lines!r}, wanted a list of lines")
