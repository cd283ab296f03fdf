"""What an exposure costs in a pass, the more of them there are: a deep stack and a wide grid.

``python tests/benchmarks/bench_flat.py [N ...]``, 8, 32 and 128 by default. An exposure
takes 0.2 to 0.3 s a pass: two minutes of CPU for these, eight more with 512.
"""

from __future__ import annotations

import sys
import tempfile
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from stage_clock import DRIVER, StageClock

from alignsvc import api
from alignsvc.simulation.reading_settings import sky_settings
from alignsvc.simulation.simulate import simulate_to

NUMBERS = (8, 32, 128)
PASSES = 2
#: Of all skies of a layout: with other stars, one bright one among thirty, a measurement of the
#: same number of exposures costs up to 1.4 times as much.
SEED = 8
#: Bright enough to be measured in any exposure: a deeper mosaic has no more sources.
STARS = {"density": 100.0, "flux": [60.0, 1e5]}
CAMERA = {"shape": [160, 160], "scale_arcsec": 0.2}


def grid(n: int) -> dict[str, Any]:
    """Return rows and columns for `n` exposures, twice a square number."""
    rows = round((n / 2) ** 0.5)
    return {"name": "grid", "rows": rows, "columns": n // rows, "overlap": 0.3}


def stack(n: int) -> dict[str, Any]:
    """Return `n` exposures of one field."""
    return {"name": "stack", "count": n, "jitter_arcsec": 2.0}


LAYOUTS = {"stack": stack, "grid": grid}


@dataclass(frozen=True)
class Cost:
    """CPU of a run of `n` exposures: ms for an exposure and pass, by stage."""

    n: int
    by_stage: Mapping[str, float]
    displacements: float

    @property
    def total(self) -> float:
        """Of all stages and of the driver."""
        return sum(self.by_stage.values())


def measured(layout: str, n: int) -> Cost:
    """Simulate, align by two passes, the first of them full; the final mosaic is in it too."""
    with tempfile.TemporaryDirectory() as folder:
        sky = {"seed": SEED, "layout": LAYOUTS[layout](n), "camera": CAMERA, "stars": STARS}
        simulate_to(Path(folder) / "sky", sky_settings(sky))
        config = {
            "images": {"paths": [f"{folder}/sky/*.fits"]},
            "run": {"directory": f"{folder}/run"},
            "cluster": {"backend": "serial"},
            "mosaic": {"tile_shape": [256, 256]},
            "alignment": {"geometry": "rshift", "max_iterations": [PASSES, 1], "eps_shift": 1e-9},
        }
        (Path(folder) / "run.yaml").write_text(yaml.safe_dump(config))
        clock = StageClock()
        api.align(Path(folder) / "run.yaml", api.RunOptions(listener=clock))
        clock.end()
    each = n * PASSES
    by_stage = {stage: 1e3 * clock.of(stage) / each for stage in clock.stages}
    return Cost(n, by_stage, sum(clock.displacements.values()) / each)


def rows(layout: str, costs: list[Cost]) -> list[str]:
    """Return lines of the table: ms by stage for each number, and the last over the first."""
    stages: dict[str, list[float]] = defaultdict(list)
    for stage in costs[-1].by_stage:
        stages[stage] = [one.by_stage.get(stage, 0.0) for one in costs]
    stages["all"] = [one.total for one in costs]
    stages["all but the driver"] = [one.total - one.by_stage[DRIVER] for one in costs]
    found = []
    for stage, spent in stages.items():
        ratio = [f"{one / spent[0]:.2f}" if spent[0] else "" for one in spent[1:]]
        cells = " | ".join([*(f"{one:.1f}" for one in spent), *ratio])
        found.append(f"| {layout} | {stage} | {cells} |")
    counts = " | ".join(f"{one.displacements:.0f}" for one in costs)
    return [*found, f"| {layout} | displacements of an exposure | {counts} |{' |' * len(ratio)}"]


def main(numbers: tuple[int, ...] = NUMBERS) -> str:
    """Return the table."""
    # What is made once in a process, compiled code above all, is nobody's.
    measured("stack", 3)
    lines = []
    for layout in LAYOUTS:
        costs = []
        for n in numbers:
            costs.append(measured(layout, n))
            print(layout, costs[-1], file=sys.stderr, flush=True)
        lines += rows(layout, costs)
    heads = [*(f"{n}, ms" for n in numbers), *(f"{n} over {numbers[0]}" for n in numbers[1:])]
    return "\n".join(
        [
            f"CPU of an exposure and pass, ms: exposures of {CAMERA['shape'][0]} x "
            f"{CAMERA['shape'][1]} px, {PASSES} passes (the first full), tiles of 256 px, serial.",
            "",
            f"| layout | stage | {' | '.join(heads)} |",
            "|---" * (2 + len(heads)) + "|",
            *lines,
        ]
    )


if __name__ == "__main__":
    print(main(tuple(int(n) for n in sys.argv[1:]) or NUMBERS))
