"""What a task costs driver and scheduler, and what so many workers do: real tasks, of which the
workers are stand-ins that wait.

Driver, scheduler and stand-ins are processes of their own, so that the CPU of each is known,
however busy the machine is.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
from threadpoolctl import threadpool_limits

from alignsvc.domain.task import Task
from alignsvc.engine.base import Executor, RunContext
from alignsvc.engine.clusters import cluster_backend
from alignsvc.engine.distributed import DaskExecutor
from alignsvc.engine.worker_environment import worker_environment
from alignsvc.io.journal_store import Journal
from alignsvc.io.lease import Patience, take_lease
from alignsvc.io.objects import LocalObjects
from alignsvc.run.driving.wheel import driving
from alignsvc.run.needs.prediction import predicted
from alignsvc.run.planning.plan import Plan
from alignsvc.run.records import events
from alignsvc.run.records.state import RunState
from alignsvc.run.stages.loop_state import PassSettings
from alignsvc.run.stages.measuring import measure_tasks
from alignsvc.run.stages.running import ReuseCount, Tools, run_stage

sys.path.insert(0, str(Path(__file__).resolve().parent))
from bench_driver_memory import planned, simulated
from scale_survey import Short, begun

HERE = Path(__file__).resolve().parent
#: Tasks for each worker: of full length, and short ones, which leave nobody waiting for a task.
ROUNDS = 3
SHORT_S = 0.02
#: Short tasks in all, at least.
N_SHORT = 1000
N_PULSES, IDLE_S = 10, 4.0


@dataclass(frozen=True)
class Cpu:
    """Wall time, and CPU of the three, s."""

    wall_s: float
    driver_s: float
    scheduler_s: float
    workers_s: float


@dataclass(frozen=True)
class Engine:
    """What was measured with so many workers.

    Parameters
    ----------
    n_workers : int
    n_short, n_long : int
        Tasks.
    long_s : float
        Of a task.
    short, long, pulse, idle : Cpu
        Of all short tasks; of all long ones; of one question how workers are; of a second in which
        nothing is to do.
    """

    n_workers: int
    n_short: int
    n_long: int
    long_s: float
    short: Cpu
    long: Cpu
    pulse: Cpu
    idle: Cpu

    @property
    def row(self) -> str:
        """A line of the table."""
        n, short, ideal_s = self.n_workers, self.short, ROUNDS * self.long_s
        cells = (
            f"{n:,}",
            *(f"{1000 * one / self.n_short:.2f}" for one in (short.driver_s, short.scheduler_s)),
            f"{1000 * self.pulse.driver_s:.1f}, {1000 * self.pulse.scheduler_s:.1f}",
            f"{1000 * self.idle.scheduler_s:.0f}",
            f"{self.n_short / short.wall_s:.0f}",
            f"{self.n_long} of {self.long_s:.1f} s: {self.long.wall_s:.1f} s",
            f"{100 * ideal_s / self.long.wall_s:.0f} %",
            f"{self.long.driver_s:.1f}, {self.long.scheduler_s:.1f}, {self.long.workers_s:.1f}",
        )
        return f"| {' | '.join(cells)} |"


HEAD = (
    "| workers | CPU of driver, ms a task | of scheduler | of a pulse, ms: driver, scheduler | "
    "scheduler idle, ms a s | short tasks a s | long tasks | workers busy | CPU s of it: driver, "
    "scheduler, stand-ins |\n|" + "---|" * 9
)


@contextmanager
def scheduler(folder: Path) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """Start a scheduler as people do; yield it and its address."""
    said = folder / "scheduler.json"
    command = [sys.executable, "-m", "distributed.cli.dask_scheduler", "--host", "127.0.0.1"]
    command += ["--port", "0", "--no-dashboard", "--scheduler-file", str(said)]
    with (folder / "scheduler.log").open("wb") as log:
        process = subprocess.Popen(
            command, cwd=HERE, env={**os.environ, **worker_environment()}, stdout=log, stderr=log
        )  # in the folder of `Short`: a scheduler looks into the tasks that it hands out
        try:
            while not said.exists():
                time.sleep(0.1)
            yield process, json.loads(said.read_bytes())["address"]
        finally:
            process.terminate()
            process.wait()


@contextmanager
def stand_ins(
    folder: Path, address: str, count: int, seconds: Mapping[str, float]
) -> Iterator[subprocess.Popen[bytes]]:
    """Start so many stand-ins in one process, and wait until all are there."""
    command = [sys.executable, str(HERE / "scale_workers.py"), address, str(count)]
    with (folder / "workers.log").open("wb") as log:
        process = subprocess.Popen(
            [*command, json.dumps(seconds)], cwd=folder, stdout=subprocess.PIPE, stderr=log
        )
        assert process.stdout is not None
        try:
            if process.stdout.readline() != b"ready\n":
                raise RuntimeError((folder / "workers.log").read_text()[-2000:])
            yield process
        finally:
            process.terminate()
            process.wait()


@dataclass(frozen=True)
class Clocks:
    """The processes whose CPU time counts."""

    scheduler: int
    workers: int

    def took(self, work: Callable[[], object]) -> Cpu:
        """Return what some work took."""
        start = self._now()
        work()
        return Cpu(*(b - a for a, b in zip(start, self._now(), strict=True)))

    def _now(self) -> tuple[float, float, float, float]:
        return (
            time.perf_counter(),
            time.process_time(),
            *(_cpu_s(pid) for pid in (self.scheduler, self.workers)),
        )


def _cpu_s(pid: int) -> float:
    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)


def tasks_of(tools: Tools) -> Sequence[Task]:
    """Return the tasks that measure all exposures, as a pass makes them."""
    plan = tools.plan
    return measure_tasks(tools, PassSettings(2, False), begun(plan, tools.run), plan.exposures)


def measured(folder: Path, plan: Plan, n_workers: int) -> Engine:
    """Run both kinds of stages on so many stand-ins; all that surrounds a driver is there."""
    long_s = next(one.seconds for one in predicted(plan).stages if one.stage == "measure")
    run = folder / "run"
    objects = LocalObjects(run)
    takes_s = {"measure": long_s, "short": SHORT_S}
    with (
        scheduler(folder) as (process, address),
        stand_ins(folder, address, n_workers, takes_s) as farm,
        take_lease(objects, Patience(time.time, time.sleep, print)) as lease,
    ):
        clocks = Clocks(process.pid, farm.pid)
        book = Journal(objects, time.time)
        with (
            driving(run, book, lease, RunState(), events.silent) as wheel,
            threadpool_limits(limits=1),
        ):
            reuse = ReuseCount(wheel.listener)
            context = RunContext(objects, "scale", wheel.with_tasks_of(reuse))
            with cluster_backend("scheduler", {"address": address})(context) as executor:
                tools = Tools(run, plan, executor, book, wheel.listener, wheel.keeper, reuse)
                return _stages(tools, clocks, n_workers, long_s)


def _stages(tools: Tools, clocks: Clocks, n_workers: int, long_s: float) -> Engine:
    every = tasks_of(tools)
    short = every[: max(N_SHORT, 2 * n_workers)]
    long = every[: ROUNDS * n_workers]
    # Everybody has had a task, and connections, before anything is measured.
    begun = run_stage(tools, "short", 1, [Short(task, 1) for task in every[-n_workers:]])
    assert all(one.is_ok for one in begun), begun[0].message
    time.sleep(IDLE_S)
    idle = clocks.took(lambda: time.sleep(IDLE_S))
    asked = clocks.took(lambda: [_pulse(tools.executor) for _ in range(N_PULSES)])
    took_long = clocks.took(lambda: run_stage(tools, "measure", 2, long))
    time.sleep(IDLE_S)
    took_short = clocks.took(
        lambda: run_stage(tools, "short", 2, [Short(task, 2) for task in short])
    )
    return Engine(
        *(n_workers, len(short), len(long), long_s),
        *(took_short, took_long, _over(asked, N_PULSES), _over(idle, IDLE_S)),
    )


def _pulse(executor: Executor) -> None:
    """Ask how workers are, as a stage does about once a second."""
    assert isinstance(executor, DaskExecutor)
    executor._workers.pulse()


def _over(cpu: Cpu, n: float) -> Cpu:
    return Cpu(cpu.wall_s / n, cpu.driver_s / n, cpu.scheduler_s / n, cpu.workers_s / n)


def main(numbers: Sequence[int]) -> list[Engine]:
    """Measure with so many workers, one after the other."""
    found = []
    with tempfile.TemporaryDirectory() as name:
        simulated(Path(name))
        side = 1 + int(max(N_SHORT, ROUNDS * max(numbers)) ** 0.5)
        plan = planned(Path(name), side)
        for n_workers in numbers:
            folder = Path(name) / f"{n_workers}"
            folder.mkdir()
            found.append(measured(folder, plan, n_workers))
            print(found[-1].row, file=sys.stderr, flush=True)
    return found


if __name__ == "__main__":
    os.nice(5)
    rows = [one.row for one in main([int(one) for one in sys.argv[1:]])]
    print("\n".join([HEAD, *rows]))
