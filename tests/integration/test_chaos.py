"""Whatever dies, fills up or rots, and when: a run comes home with the undisturbed result.

Stories by seed (`chaos.py`), each with up to three lives that end badly and one that does not.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from durable_runs import LEFT, content, make_sky, tell, write_config
from small_disks import small_disk
from workplaces import digests

from alignsvc.domain.outcome import ExitCode

pytestmark = pytest.mark.slow

SEEDS = range(52)
#: Of a life that a fault ended: killed, or stopped with a sentence that says what to do.
BAD_ENDS = {9, int(ExitCode.RUN_STORE)}
#: Reasons that are nobody's fault but that of who killed workers.
HONEST = {"worker_lost", "memory", "timeout"}


@dataclass(frozen=True)
class Undisturbed:
    """A sky, what an undisturbed run of it gives, and its moments."""

    sky: Path
    content: dict[str, str]
    code: int
    moments: int


class Skies:
    """One sky for each number of exposures, made when it is asked for."""

    def __init__(self, folder: Path) -> None:
        self.of = cache(lambda count: self._made(folder / str(count), count))

    def _made(self, folder: Path, count: int) -> Undisturbed:
        sky = make_sky(folder / "sky", count=count)
        (told,) = tell([{"config": str(write_config(folder / "run.yaml", sky)), "kills": []}])
        return Undisturbed(sky, content(folder / "run"), told["codes"][-1], told["moments"])


@pytest.fixture(scope="module")
def skies(tmp_path_factory: pytest.TempPathFactory) -> Skies:
    return Skies(tmp_path_factory.mktemp("chaos"))


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path / "disk", megabytes=64) as folder:
        yield folder


def told_by(config: Path, seed: int, moments: int, disk: Path) -> dict[str, Any]:
    asked = {"config": str(config), "seed": seed, "moments": moments, "disk": str(disk)}
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("chaos.py"))],
        input=json.dumps(asked),
        capture_output=True,
        text=True,
        timeout=1800,  # against a life that hangs: a busy machine decides nothing
    )
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    return told | {"said": done.stderr}


@pytest.mark.parametrize("seed", SEEDS)
def test_a_run_comes_home(seed: int, skies: Skies, disk: Path) -> None:
    whole = skies.of(4 + seed % 3)
    inputs = digests(whole.sky)
    config = write_config(disk / "run.yaml", whole.sky)
    told = told_by(config, seed, whole.moments, disk)
    *bad, last = told["codes"]
    assert set(bad) <= BAD_ENDS, (told["codes"], told["happened"], told["said"][-4000:])
    run = config.with_suffix("")
    assert digests(whole.sky) == inputs
    assert {path.name for path in run.iterdir()} == LEFT
    assert not list(run.rglob(".*"))
    if last == ExitCode.SOME_FAILED:
        rows = json.loads((run / "report.json").read_text())["exposures"]
        lost = {row["reason"] for row in rows if row["status"] == "failed"}
        assert lost
        assert lost <= HONEST, told
    else:
        assert last == whole.code, told
        assert content(run) == whole.content, told
