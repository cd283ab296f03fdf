"""One driver at a time owns a run; one that is gone is replaced at once."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from alignsvc.errors import ResourceError, RunStoreError
from alignsvc.io import lease as lease_module
from alignsvc.io.codec import json_from, sealed
from alignsvc.io.lease import Lease, LeaseOwner, Patience, lease_holder, live_owner, take_lease
from alignsvc.io.objects import LocalObjects


@dataclass
class Time:
    """A clock that moves when somebody sleeps, and what happens meanwhile."""

    now_s: float = 1e9
    told: list[str] = field(default_factory=list)
    beating: Lease | None = None

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds
        if self.beating is not None:
            self.beating.renew(self.now_s)

    @property
    def patience(self) -> Patience:
        return Patience(lambda: self.now_s, self.sleep, self.told.append)


@pytest.fixture
def objects(tmp_path: Path) -> LocalObjects:
    return LocalObjects(tmp_path)


@pytest.fixture
def time() -> Time:
    return Time()


def held_by(objects: LocalObjects, owner: LeaseOwner) -> None:
    """Make the first lease somebody else's."""
    data = json_from(owner, LeaseOwner)
    assert isinstance(data, dict)
    objects.put("lease/00000001.json", sealed(data))


def test_a_free_run_is_taken_and_given_back(objects: LocalObjects, time: Time) -> None:
    with take_lease(objects, time.patience) as lease:
        assert lease.epoch == 1
        assert live_owner(objects, time.now_s) == LeaseOwner.this_process()
        lease.renew(time.now_s)
    assert live_owner(objects, time.now_s) is None
    with take_lease(objects, time.patience) as lease:
        assert lease.epoch == 2
    assert time.told == []


def test_a_second_driver_is_refused_while_the_first_lives(
    objects: LocalObjects, time: Time
) -> None:
    time.beating = take_lease(objects, time.patience)
    start_s = time.now_s
    with pytest.raises(RunStoreError, match=rf"process {os.getpid()} on .* is driving this run"):
        take_lease(objects, time.patience)
    assert time.now_s - start_s <= 2
    assert "waiting up to 60 s" in time.told[0]


def test_a_driver_that_is_gone_from_this_host_is_replaced_at_once(
    objects: LocalObjects, time: Time
) -> None:
    code = (
        "import sys; from pathlib import Path; from alignsvc.io.lease import *\n"
        "from alignsvc.io.objects import LocalObjects\n"
        "patience = Patience(lambda: 1e9, lambda s: None, print)\n"
        "take_lease(LocalObjects(Path(sys.argv[1])), patience)\n"
    )
    subprocess.run([sys.executable, "-c", code, str(objects.root)], check=True)
    assert live_owner(objects, time.now_s) is None
    assert take_lease(objects, time.patience).epoch == 2
    assert time.told == []


def test_a_later_process_with_the_same_number_is_not_the_owner(
    objects: LocalObjects, time: Time
) -> None:
    held_by(objects, replace(LeaseOwner.this_process(), started="1"))
    assert take_lease(objects, time.patience).epoch == 2


def test_a_process_that_is_dead_but_not_buried_is_gone() -> None:
    child = subprocess.Popen([sys.executable, "-c", ""])
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert lease_module._start_of(child.pid) is None
    child.wait()


def test_a_silent_driver_elsewhere_is_replaced_after_a_minute(
    objects: LocalObjects, time: Time
) -> None:
    held_by(objects, LeaseOwner("elsewhere", 1, "1"))
    start_s = time.now_s
    assert take_lease(objects, time.patience).epoch == 2
    assert time.now_s - start_s == 60.0
    assert "process 1 on elsewhere holds this run" in time.told[0]


def test_the_minute_counts_from_the_last_sign_of_life(objects: LocalObjects, time: Time) -> None:
    owner = LeaseOwner("elsewhere", 1, "1")
    held_by(objects, owner)
    Lease(objects, 1, owner).renew(time.now_s - 50)
    start_s = time.now_s
    take_lease(objects, time.patience)
    assert time.now_s - start_s == 10.0


def test_a_clock_that_is_ahead_makes_the_wait_no_longer(objects: LocalObjects, time: Time) -> None:
    owner = LeaseOwner("elsewhere", 1, "1")
    held_by(objects, owner)
    Lease(objects, 1, owner).renew(time.now_s + 5000)
    start_s = time.now_s
    take_lease(objects, time.patience)
    assert time.now_s - start_s == 60.0


def test_a_driver_that_slept_learns_that_it_was_replaced(objects: LocalObjects, time: Time) -> None:
    owner = LeaseOwner("elsewhere", 1, "1")
    held_by(objects, owner)
    sleeper = Lease(objects, 1, owner)
    new = take_lease(objects, time.patience)
    with pytest.raises(RunStoreError, match="another driver has taken this run over"):
        sleeper.renew(time.now_s)
    sleeper.release()  # takes nothing from the new owner
    new.renew(time.now_s)
    assert live_owner(objects, time.now_s) == new.owner


def test_a_driver_whose_run_was_removed_does_not_blame_another(
    objects: LocalObjects, time: Time
) -> None:
    lease = take_lease(objects, time.patience)
    objects.delete_below("")
    with pytest.raises(RunStoreError, match="somebody removed the run while it was driven"):
        lease.renew(time.now_s)


def test_a_lease_that_could_not_be_given_back_is_free_for_the_process_that_had_it(
    objects: LocalObjects, time: Time, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk is full when a driver stops, and there is room when it goes on."""

    def full(objects: LocalObjects, name: str, content: bytes) -> None:
        raise ResourceError(f"{name}: the disk is full")

    with (
        pytest.raises(ZeroDivisionError),  # why it stops, not what came of it
        take_lease(objects, time.patience),
    ):
        monkeypatch.setattr(LocalObjects, "put", full)
        raise ZeroDivisionError
    monkeypatch.undo()
    assert live_owner(objects, time.now_s) is None and lease_holder(objects) is None
    lease = take_lease(objects, time.patience)
    assert (lease.epoch, time.told) == (2, [])
    # That one is held: who has had the run before gets no other's.
    time.beating = lease
    with pytest.raises(RunStoreError, match="is driving this run"):
        take_lease(objects, time.patience)


def test_a_lease_that_cannot_be_given_back_says_so_where_all_else_went_well(
    objects: LocalObjects, time: Time, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(objects: LocalObjects, name: str, content: bytes) -> None:
        raise ResourceError(f"{name}: the disk is full")

    lease = take_lease(objects, time.patience)
    monkeypatch.setattr(LocalObjects, "put", full)
    with pytest.raises(ResourceError, match="the disk is full"), lease:
        pass


def test_of_two_that_take_over_one_wins(objects: LocalObjects, time: Time) -> None:
    class Slow(LocalObjects):
        """Somebody else takes the run just before this one does."""

        __slots__ = ()

        def put_if_absent(self, name: str, content: bytes) -> bool:
            take_lease(objects, time.patience)
            return super().put_if_absent(name, content)

    take_lease(objects, time.patience).release()
    with pytest.raises(RunStoreError, match="another driver was quicker"):
        take_lease(Slow(objects.root), time.patience)
