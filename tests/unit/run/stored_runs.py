"""Runs as their stores show them, with journals written by hand: no exposure, no driver."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from alignsvc.io.codec import json_from, sealed
from alignsvc.io.journal import DriverStarted, Event, PassStarted, RunCreated, Solved
from alignsvc.io.journal_store import Journal
from alignsvc.io.lease import Heartbeat, LeaseOwner
from alignsvc.io.objects import LocalObjects

NOW_S = 1_000_000.0
ELSEWHERE = LeaseOwner("elsewhere", 1, "1")
CREATED = RunCreated("ab" * 20, (("format", "1"), ("input a", "1"), ("input b", "2")))
ONE_PASS: tuple[Event, ...] = (
    CREATED,
    DriverStarted(1, "process 1 on elsewhere"),
    PassStarted(1, True),
    Solved(1, "tables/solved/pass-0001.npz", "d", 0.5, 2),
)


@dataclass(frozen=True)
class StoredRun:
    """A run directory without a run."""

    root: Path

    @classmethod
    def at(cls, root: Path, events: Sequence[Event] = ONE_PASS) -> StoredRun:
        """Write a configuration and a journal."""
        root.mkdir(parents=True)
        config = {
            "images": {"paths": [f"{root.parent}/in/*.fits"]},
            "run": {"directory": str(root)},
        }
        (root / "config.yaml").write_text(yaml.safe_dump(config))
        run = cls(root)
        run.add(*events)
        return run

    @property
    def objects(self) -> LocalObjects:
        """Its store."""
        return LocalObjects(self.root)

    def add(self, *events: Event) -> None:
        """Write further events, each a second after the one before."""
        book = Journal(self.objects, lambda: NOW_S - 100.0)
        for event in events:
            book.append(event)

    def held_by(self, owner: LeaseOwner, beaten_s: float, count: int = 1) -> None:
        """Give somebody the lease, with a sign of life at a time."""
        for name, value in (("json", owner), ("beat", Heartbeat(count, beaten_s, False))):
            data = json_from(value, type(value))
            assert isinstance(data, dict)
            self.objects.put(f"lease/00000001.{name}", sealed(data))
