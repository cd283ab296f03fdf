"""Which driver a run was last given by `alignsvc submit`: an object of the run, for people."""

from __future__ import annotations

from dataclasses import dataclass

from alignsvc.errors import RunStoreError
from alignsvc.io.codec import json_from, sealed, unsealed, value_from
from alignsvc.io.locations import DRIVER_RECORD
from alignsvc.io.objects import ObjectStore


@dataclass(frozen=True, slots=True)
class DriverRecord:
    """A driver that was started somewhere.

    Parameters
    ----------
    place : str
        The cluster backend whose place it is.
    job : str
        By which that place knows it.
    log : str
        Where its output goes.
    time_s : float
        When it was started, s since 1970.
    """

    place: str
    job: str
    log: str
    time_s: float

    def __str__(self) -> str:
        return f"{self.place} job {self.job.split('@')[0]}"


def write_driver_record(objects: ObjectStore, record: DriverRecord) -> None:
    """Keep a record, in place of an earlier one."""
    data = json_from(record, DriverRecord)
    assert isinstance(data, dict)
    objects.put(DRIVER_RECORD, sealed(data))


def read_driver_record(objects: ObjectStore) -> DriverRecord | None:
    """Return the record; None if the run was never submitted.

    Raises
    ------
    RunStoreError
        It is damaged.
    """
    content = objects.find(DRIVER_RECORD)
    try:
        return None if content is None else value_from(unsealed(content), DriverRecord)
    except (TypeError, ValueError) as error:
        raise RunStoreError(
            f"{DRIVER_RECORD} is damaged ({error}); delete it and submit again"
        ) from error
