"""What a driver occupies with a wide survey in hand: plan, journal, and the solve of all exposures.

Each size in a process of its own, whose highest memory after each stage is told, imports included.
`bench_driver_memory.py` does the sizes of the tables; `bench_driver_memory.py 316 --sources 100`
a raster of 316 x 316 exposures with 100 displacements each, and so on for any sizes.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
import time
from argparse import ArgumentParser
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np
import yaml

from alignsvc import api
from alignsvc.config.load import parse_config
from alignsvc.domain.correction import Correction, Geometry
from alignsvc.domain.geometry import Points
from alignsvc.domain.measurement import Factors
from alignsvc.domain.task import TableRef
from alignsvc.engine.base import Executor
from alignsvc.io.journal_store import Journal
from alignsvc.io.locations import RunLocations
from alignsvc.io.objects import LocalObjects
from alignsvc.io.tables import write_table
from alignsvc.numerics.compiled import make_compiler_ready
from alignsvc.numerics.solve.factors import step_jacobian
from alignsvc.numerics.solve.relative_levels import LevelRows, LevelSolver
from alignsvc.run.planning import making
from alignsvc.run.planning.plan import Plan, PlannedExposure
from alignsvc.run.records import events
from alignsvc.run.records.state import fold
from alignsvc.run.reducer.solve_group import Measured
from alignsvc.run.reducer.solving import solve
from alignsvc.run.stages.running import ReuseCount, Tools

sys.path.insert(0, str(Path(__file__).resolve().parent))
from bench_overhead import all_events, moved

SIDES = (32, 56, 100)
N_SOURCES = 50
#: Of a pixel: a raster of 100,000 exposures lies within 10 degrees, which one plane serves.
SCALE_ARCSEC = 0.05
#: Half a frame, arcsec: by so much the next exposure of the raster lies on, in both directions.
HALF_ARCSEC = 1024 * SCALE_ARCSEC
NOISE_ARCSEC = 0.002


def simulated(folder: Path) -> None:
    """Write two small exposures, whose headers all others are made of."""
    layout = {"name": "stack", "count": 2, "ra": 150.1, "dec": 2.2}
    camera = {"shape": [2048, 2048], "scale_arcsec": SCALE_ARCSEC}
    sky = folder / "sky.yaml"
    sky.write_text(yaml.safe_dump({"layout": layout, "camera": camera, "stars": {"density": 0.1}}))
    api.simulate(sky, folder / "in")


def planned(folder: Path, side: int) -> Plan:
    """Return the plan of a raster of exposures that overlap by half."""
    config = parse_config(
        f"{{images: {{paths: ['{folder}/in/*.fits']}}, cluster: {{backend: serial}}}}", "bench"
    )
    plan = making.make_plan(config)
    headers = [moved(plan.headers[0], *divmod(k, side), HALF_ARCSEC) for k in range(side * side)]
    arranged = making._arranged(config, headers, None, {})
    return replace(
        plan, headers=tuple(headers), layout=arranged.layout, exposures=arranged.exposures
    )


def measurements(plan: Plan, side: int, n_sources: int) -> Iterator[Factors]:
    """Yield the factors of all exposures: a quarter of a frame is a cell that four of them see."""
    plane, random = plan.grids[0].plane, np.random.default_rng(1)
    shape = (side + 1, side + 1, n_sources // 4, 2)
    place, offset = random.uniform(0, HALF_ARCSEC, shape), random.normal(0, 0.05, shape)
    sigma = NOISE_ARCSEC * random.uniform(0.5, 3.0, shape[:3])
    for one in plan.exposures:
        row, column = (int(part[1:]) for part in one.id.split("/"))
        source, at, residual, error = [], [], [], []
        for r, c in [(row + k // 2, column + k % 2) for k in range(4)]:
            source.append((r * (side + 1) + c) * 10_000 + np.arange(shape[2]))
            at.append(place[r, c] + HALF_ARCSEC * np.array([c, r]))
            error.append(sigma[r, c])
            noise = random.normal(0, 1, (shape[2], 2)) * sigma[r, c, :, None]
            residual.append(offset[r, c] + noise)
        x, y = np.concatenate(at).T
        jacobian = step_jacobian(Points(x, y), plane, one.plane)
        step = random.normal(0, 1, 6) * np.array([0.2, 0.2, 3e-4, 3e-4, 3e-4, 3e-4])
        n = len(x)
        yield Factors(
            exposure=0,
            source=np.concatenate(source),
            residual=np.concatenate(residual) + jacobian @ step,
            jacobian=jacobian,
            information=np.eye(2) / np.concatenate(error)[:, None, None] ** 2,
            weight_share=np.full(n, 0.25),
            use=np.ones(n, bool),
            held_out=np.zeros(n, bool),
        )


def stored(folder: Path, plan: Plan, side: int, n_sources: int) -> None:
    """Write the factors of all exposures where workers put them."""
    objects = LocalObjects(RunLocations(folder / "run").objects.root, is_scratch=True)
    for one, factors in zip(plan.exposures, measurements(plan, side, n_sources), strict=True):
        write_table(objects, name_of(one), factors)


def name_of(exposure: PlannedExposure) -> str:
    """Return the name of an exposure's table."""
    return f"tables/factors/{exposure.id}.npz"


def solved(folder: Path, plan: Plan) -> None:
    """Solve, as the driver does after a pass."""
    book = Journal(LocalObjects(folder / "run"), time.time)
    nobody = cast(Executor, None)
    reuse = ReuseCount()
    tools = Tools(folder / "run", plan, nobody, book, events.silent, lambda: None, reuse)
    measured = [Measured(one, TableRef(name_of(one), "")) for one in plan.exposures]
    start = {one.id: Correction.identity(one.plane, Geometry.GENERAL) for one in plan.exposures}
    solution = solve(tools, measured, start, {}, None)
    assert len(solution.corrections) == len(plan.exposures)


def in_one_process(folder: Path, side: int, n_sources: int) -> None:
    """Do all that a driver does, and tell after each stage what it took so far."""
    make_compiler_ready()
    told("imports, and the compiler")
    plan = planned(folder, side)
    told(f"plan of {side * side} exposures")
    state = fold(all_events())
    told("journal of 10,000 exposures and 10 passes, folded")
    solved(folder, plan)
    told(f"solve, {n_sources} sources an exposure")
    levelled(side, n_sources)
    told("flux scales of all, as many places")
    del state


def levelled(side: int, n_sources: int) -> None:
    """Solve for flux scales, as the driver does after a pass, and for skies once more."""
    random, n = np.random.default_rng(2), side * side
    exposure = np.repeat(np.arange(n), n_sources)
    cell, which = np.divmod(np.tile(np.arange(n_sources), n), n_sources // 4)
    row, column = exposure // side + cell // 2, exposure % side + cell % 2
    variance = random.uniform(1e-5, 1e-4, len(exposure))
    value = random.normal(0, 0.01, n)[exposure] + random.normal(0, np.sqrt(variance))
    place = (row * (side + 1) + column) * n_sources + which
    found = LevelSolver()(LevelRows(exposure, place, value, variance), n)
    assert np.isfinite(found.error).all()


def told(stage: str) -> None:
    """Print the highest memory and the CPU time so far."""
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
    print(f"{stage}: {peak_mb:.0f} MB, {time.process_time():.1f} s of CPU so far", flush=True)


def main(sides: Sequence[int] = SIDES, n_sources: int = N_SOURCES) -> str:
    """Return all of it, each size in processes of its own."""
    found = []
    for side in sides:
        with tempfile.TemporaryDirectory() as folder:
            for part in ("simulate", "store", "measure"):
                command = [sys.executable, __file__, part, folder, str(side), str(n_sources)]
                done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
            found.append(done.stdout)
            print(done.stdout, file=sys.stderr, flush=True)
    return "\n".join(found)


if __name__ == "__main__":
    os.nice(5)
    if sys.argv[1:2] in (["simulate"], ["store"], ["measure"]):
        there, n, count = Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
        if sys.argv[1] == "simulate":
            simulated(there)
        elif sys.argv[1] == "store":
            stored(there, planned(there, n), n, count)
        else:
            in_one_process(there, n, count)
    else:
        asked = ArgumentParser(description=__doc__)
        asked.add_argument("sides", nargs="*", type=int, default=SIDES)
        asked.add_argument("--sources", type=int, default=N_SOURCES)
        given = asked.parse_args()
        print(main(given.sides, given.sources))
