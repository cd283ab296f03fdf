"""Runs that all sorts of things befall: a program for the chaos suite.

It reads a story from its input, ``{"config": PATH, "seed": N, "moments": M, "disk": DIR}``, and
tells it: up to three lives of one run, each in a process of its own with one fault in it (a driver
that is killed between two changes of the disk, a worker killed, the scheduler killed, a full
disk), bits that are flipped in between, and a last life that nothing befalls. What happens when
follows from the seed, as far as processes that run at one time have an order. It prints the exit
code and the fault of each life.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "cluster"))
from lives import KILLED, Clockwork
from own_cluster import OwnCluster, own_cluster
from small_disks import fill

from alignsvc.cli import main, show
from alignsvc.cli.options import Output
from alignsvc.run.records import events

#: Where a run works, by seed, and what may befall it there.
KINDS = {
    "serial": ("driver", "driver", "disk"),
    "local": ("driver", "worker", "disk"),
    "scheduler": ("driver", "worker", "scheduler"),
}
TURNS = ("serial", "serial", "local", "scheduler")
#: Faults come while there is something to disturb, in a second life too: within so many ends of
#: tasks, and within this part of the moments of a whole run, most of which are the workers' where
#: there are any.
_TASKS = 40
_PART_OF_MOMENTS = {"serial": 2, "local": 8, "scheduler": 8}


@dataclass(frozen=True)
class Fault:
    """What befalls a life, and when: after so many moments of the disk, or ends of tasks."""

    name: str
    when: int


class Fate:
    """Hears of a run's events in its process, and strikes in its time."""

    def __init__(self, fault: Fault, strike: Callable[[], object]) -> None:
        self.left = fault.when
        self.strike = strike

    def __call__(self, event: events.Event) -> None:
        if isinstance(event, events.TaskEnded):
            self.left -= 1
            if self.left == 0:
                self.strike()

    def ask_to_go_on(self, solved: events.PassSolved) -> bool:
        return True


def one_of_our_workers(dice: random.Random) -> None:
    workers = [
        child.pid
        for child in psutil.Process().children(recursive=True)
        if any("spawn_main" in word for word in child.cmdline())
    ]
    if workers:
        os.kill(dice.choice(sorted(workers)), signal.SIGKILL)


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)


def striking(
    fault: Fault, cluster: OwnCluster | None, dice: random.Random, disk: Path
) -> Callable[[], object]:
    """Return what does it."""
    if fault.name == "disk":
        return lambda: fill(disk)
    if fault.name == "scheduler" and cluster is not None:
        scheduler = cluster.scheduler.pid
        return lambda: kill(scheduler)
    if fault.name == "worker":
        if cluster is None:
            return lambda: one_of_our_workers(dice)
        worker = dice.choice(cluster.workers).pid
        return lambda: kill(worker)
    return lambda: None


def life(arguments: list[str], fault: Fault, strike: Callable[[], object]) -> int:
    """Run in a process of its own; return its exit code."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    code = 70
    try:
        os.setsid()
        silence = os.open(os.devnull, os.O_WRONLY)
        os.dup2(silence, 1)
        fate = Fate(fault, strike)

        @contextmanager
        def progress(output: Output) -> Iterator[show.Progressing]:
            yield fate

        show.progress = progress
        clockwork = Clockwork(fault.when if fault.name == "driver" else None)
        with tempfile.TemporaryDirectory() as folder:
            clockwork.wind_up(Path(folder) / "worked")
            code = int(main.exit_code(arguments))
    finally:
        os._exit(code)


def flip_a_bit(run: Path, dice: random.Random) -> bool:
    """Change one bit of one chunk of pixels; return whether there is any."""
    chunks = sorted(path for path in run.rglob("c/**/*") if path.is_file())
    if not chunks:
        return False
    chunk = dice.choice(chunks)
    raw = bytearray(chunk.read_bytes())
    raw[dice.randrange(len(raw))] ^= 1 << dice.randrange(8)
    chunk.unlink()  # tiles of two generations may be one file
    chunk.write_bytes(raw)
    return True


@contextmanager
def workers_for(kind: str, folder: Path) -> Iterator[tuple[OwnCluster | None, list[str]]]:
    """Give each life a scheduler of its own where it needs one, and the options that say so."""
    if kind != "scheduler":
        more = ["--set", "cluster.workers=2"] if kind == "local" else []
        yield None, ["--set", f"cluster.backend={kind}", *more]
        return
    with own_cluster(folder, workers=2) as cluster:
        where = f"cluster.address={cluster.address}"
        yield cluster, ["--set", "cluster.backend=scheduler", "--set", where]


def story(config: Path, seed: int, moments: int, disk: Path) -> dict[str, object]:
    """Tell the story of a seed."""
    dice = random.Random(seed)
    kind, run = TURNS[seed % len(TURNS)], config.with_suffix("")
    happened: list[str] = []
    codes: list[int] = []
    n_faults = dice.randint(1, 3)
    for number in range(n_faults + 1):
        fault = Fault("nothing", 0)
        if number < n_faults:
            name = dice.choice(KINDS[kind])
            within = moments // _PART_OF_MOMENTS[kind] if name == "driver" else _TASKS
            fault = Fault(name, dice.randrange(1, within))
        with ExitStack() as closing:
            cluster, where = closing.enter_context(workers_for(kind, disk / f"own{number}"))
            strike = striking(fault, cluster, dice, disk)
            codes.append(life(["run", str(config), "--json", *where], fault, strike))
        happened.append(f"{fault.name} at {fault.when}")
        (disk / "filler").unlink(missing_ok=True)
        if codes[-1] in (0, 1, 2, 4):
            break
        if dice.random() < 0.5 and flip_a_bit(run, dice):
            happened.append("a bit flipped")
    return {"kind": kind, "codes": codes, "happened": happened, "killed": KILLED}


if __name__ == "__main__":
    asked = json.loads(sys.stdin.read())
    told = story(Path(asked["config"]), asked["seed"], asked["moments"], Path(asked["disk"]))
    print(json.dumps(told))
