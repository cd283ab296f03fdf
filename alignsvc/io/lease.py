"""The lease: at most one driver owns a run.

Leases are numbered. The lease with the highest number is the current one. One process only can
create ``lease/00000003.json``, so a takeover cannot be won twice; the number is the fencing token
that the journal keeps. The owner's sign of life is ``lease/00000003.beat``: it also says when the
lease was given back.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TypeVar

from alignsvc.errors import AlignError, RunStoreError
from alignsvc.io.codec import json_from, sealed, unsealed, value_from
from alignsvc.io.locations import LEASE
from alignsvc.io.objects import ObjectStore

T = TypeVar("T")

#: A lease is free this long after its owner's last sign of life (public contract).
PATIENCE_S = 60.0
_POLL_S = 1.0
#: What this process holds no more, but could not say so in the store (a full disk): by store and
#: number.
_LEFT: set[tuple[ObjectStore, int]] = set()


@dataclass(frozen=True, slots=True)
class LeaseOwner:
    """A process, named so that another one can tell whether it is still there.

    Parameters
    ----------
    host : str
        Host name, boot and process-number space: equal only where `pid` means the same.
    pid : int
    started : str
        When the process started, by the kernel's clock; tells a process from a later one with
        the same number.
    """

    host: str
    pid: int
    started: str

    @classmethod
    def this_process(cls) -> LeaseOwner:
        """Return the process that asks."""
        return cls.of_process(os.getpid())

    @classmethod
    def of_process(cls, pid: int) -> LeaseOwner:
        """Return a process of this host, named for others."""
        return cls(_this_host(), pid, _start_of(pid) or "")

    @property
    def is_gone(self) -> bool:
        """Whether it ran on this host and does not any more; False where one cannot tell."""
        return self.host == _this_host() and _start_of(self.pid) != self.started

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host.split('/')[0]}"


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """The owner's last sign of life: its count, its time (s since 1970), and whether it left."""

    count: int
    time_s: float
    is_released: bool = False


@dataclass(frozen=True, slots=True)
class Holder:
    """Who has the lease and has not given it back, alive or not.

    Parameters
    ----------
    epoch : int
    owner : LeaseOwner
    last : Heartbeat or None
        None where it died before the first.
    """

    epoch: int
    owner: LeaseOwner
    last: Heartbeat | None

    def is_alive(self, now_s: float) -> bool:
        """Return whether it may be taken for alive at a time (s since 1970)."""
        silent_s = now_s - self.last.time_s if self.last is not None else 0.0
        return not self.owner.is_gone and silent_s <= PATIENCE_S


class DrivenElsewhere(RunStoreError):
    """Another driver is alive and has the run."""

    def __init__(self, owner: LeaseOwner) -> None:
        super().__init__(
            f"{owner} is driving this run; watch it with `alignsvc watch`, or stop it "
            "with `alignsvc cancel`"
        )
        self.owner = owner


@dataclass(frozen=True, slots=True)
class Patience:
    """How to wait for a lease: all that depends on time, as arguments.

    Parameters
    ----------
    clock : callable
        Seconds since 1970.
    sleep : callable
        Waits so many seconds.
    tell : callable
        Takes a sentence for the user when the wait begins.
    """

    clock: Callable[[], float]
    sleep: Callable[[float], None]
    tell: Callable[[str], None]


class Lease:
    """The right to drive a run; a context manager that gives it back.

    Made by `take_lease` only.
    """

    def __init__(self, objects: ObjectStore, epoch: int, owner: LeaseOwner) -> None:
        self._objects = objects
        self.epoch = epoch
        self.owner = owner
        self._count = 0

    def renew(self, time_s: float) -> None:
        """Give a sign of life; to be called every few seconds.

        Raises
        ------
        RunStoreError
            Another driver has taken the run over, or the run was removed: this one must write
            nothing more.
        """
        self.check()
        self._beat(time_s)

    def check(self) -> None:
        """Raise RunStoreError if another driver has taken the run over, or it was removed."""
        held = _epochs(self._objects)
        if not held:
            raise RunStoreError(
                f"lease {self.epoch} of {self.owner}: gone from {self._objects.root}; somebody "
                "removed the run while it was driven: remove what is left of it and run again"
            )
        if held[-1] != self.epoch:
            raise RunStoreError(
                f"lease {self.epoch} of {self.owner}: another driver has taken this run over; "
                "this one stops, the other goes on"
            )

    def release(self) -> None:
        """Give the lease back; nothing happens if it was taken over.

        Where the store does not take that down (an error), this process knows it all the same:
        it can take the run again at once, others after `PATIENCE_S`.
        """
        left = (self._objects, self.epoch)
        _LEFT.add(left)
        if _epochs(self._objects)[-1:] == [self.epoch]:
            self._beat(0.0, is_released=True)
        _LEFT.discard(left)  # the store knows, too

    def _beat(self, time_s: float, *, is_released: bool = False) -> None:
        self._count += 1
        beat = Heartbeat(self._count, time_s, is_released)
        self._objects.put(_beat_name(self.epoch), _sealed(beat))

    def __enter__(self) -> Lease:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with suppress(AlignError) if error is not None else nullcontext():
            self.release()  # where something went wrong before, that is what is told


def take_lease(objects: ObjectStore, patience: Patience) -> Lease:
    """Return the lease of a run, at once where it is free or its owner is gone from this host.

    Otherwise wait, saying so, until `PATIENCE_S` after the owner's last sign of life. The wait is
    measured by this process's clock, so that clocks which disagree cannot make it longer.

    Raises
    ------
    DrivenElsewhere
        Another driver gave a sign of life during the wait.
    RunStoreError
        Another driver was quicker.
    """
    me = LeaseOwner.this_process()
    epochs = _epochs(objects)
    if epochs:
        _wait_until_free(objects, epochs[-1], patience)
    epoch = epochs[-1] + 1 if epochs else 1
    won = objects.put_if_absent(_owner_name(epoch), _sealed(me))
    # The list is read again: whoever slept through two takeovers may have won an old number.
    if not won or _epochs(objects)[-1] != epoch:
        raise RunStoreError(
            f"lease {epoch}: another driver was quicker to take this run; watch it with "
            "`alignsvc watch`"
        )
    lease = Lease(objects, epoch, me)
    lease.renew(patience.clock())
    for old in epochs:
        objects.delete(_owner_name(old))
        objects.delete(_beat_name(old))
    return lease


def live_owner(objects: ObjectStore, now_s: float) -> LeaseOwner | None:
    """Return who drives a run at a time (s since 1970), as far as signs of life tell."""
    holder = lease_holder(objects)
    return holder.owner if holder is not None and holder.is_alive(now_s) else None


def lease_holder(objects: ObjectStore) -> Holder | None:
    """Return who has the run's lease, alive or not; None if nobody had it, or it was given back."""
    epochs = _epochs(objects)
    if not epochs:
        return None
    owner, beat = _owner(objects, epochs[-1]), _last_beat(objects, epochs[-1])
    if owner is None or _is_given_back(objects, epochs[-1], owner, beat):
        return None
    return Holder(epochs[-1], owner, beat)


def _wait_until_free(objects: ObjectStore, epoch: int, patience: Patience) -> None:
    first = _last_beat(objects, epoch)
    if _is_free(objects, epoch):
        return
    owner = _owner(objects, epoch)
    assert owner is not None  # or it were free
    age_s = patience.clock() - first.time_s if first else 0.0
    wait_s = PATIENCE_S - min(max(age_s, 0.0), PATIENCE_S)
    began_s = patience.clock()
    if wait_s > 0:
        patience.tell(
            f"{owner} holds this run; waiting up to {wait_s:.0f} s for a sign of life from it"
        )
    while patience.clock() - began_s < wait_s:
        patience.sleep(min(_POLL_S, wait_s))
        if _is_free(objects, epoch):
            return
        if _last_beat(objects, epoch) != first:
            raise DrivenElsewhere(owner)


def _is_free(objects: ObjectStore, epoch: int) -> bool:
    beat = _last_beat(objects, epoch)
    owner = _owner(objects, epoch)
    return owner is None or owner.is_gone or _is_given_back(objects, epoch, owner, beat)


def _is_given_back(
    objects: ObjectStore, epoch: int, owner: LeaseOwner, beat: Heartbeat | None
) -> bool:
    if beat is not None and beat.is_released:
        return True
    return (objects, epoch) in _LEFT and owner == LeaseOwner.this_process()


def _owner(objects: ObjectStore, epoch: int) -> LeaseOwner | None:
    return _read(objects, _owner_name(epoch), LeaseOwner)


def _last_beat(objects: ObjectStore, epoch: int) -> Heartbeat | None:
    return _read(objects, _beat_name(epoch), Heartbeat)


def _read(objects: ObjectStore, name: str, type_: type[T]) -> T | None:
    content = objects.find(name)
    try:
        return None if content is None else value_from(unsealed(content), type_)
    except (TypeError, ValueError) as error:
        raise RunStoreError(f"{name} is damaged ({error}); delete it and resume") from error


def _epochs(objects: ObjectStore) -> list[int]:
    """Return the numbers of the leases, lowest first."""
    names = (name.removeprefix(LEASE) for name in objects.list(LEASE))
    return [int(name.removesuffix(".json")) for name in names if name.endswith(".json")]


def _owner_name(epoch: int) -> str:
    return f"{LEASE}{epoch:08d}.json"


def _beat_name(epoch: int) -> str:
    return f"{LEASE}{epoch:08d}.beat"


def _sealed(value: LeaseOwner | Heartbeat) -> bytes:
    data = json_from(value, type(value))
    assert isinstance(data, dict)
    return sealed(data)


def _this_host() -> str:
    """Return a name that two processes share only if they see each other's numbers."""
    boot = Path("/proc/sys/kernel/random/boot_id")
    space = Path("/proc/self/ns/pid")
    parts = [socket.gethostname()]
    parts += [boot.read_text().strip()] if boot.exists() else []
    parts += [str(space.readlink())] if space.is_symlink() else []
    return "/".join(parts)


def _start_of(pid: int) -> str | None:
    """Return when a process of this host started; None if there is none, or only its remains."""
    if not Path("/proc/self/stat").exists():  # not Linux: its number is all there is
        return _exists(pid)
    try:
        # The name, in parentheses, may hold anything; fields 3 (state) and 22 (start) follow it.
        after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if after_name[0] in ("Z", "X") else after_name[19]


def _exists(pid: int) -> str | None:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except PermissionError:
        pass
    return ""
