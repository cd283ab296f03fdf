"""Whatever tasks have made may be damaged, several at once, at any time: the result is the same."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from durable_runs import content, make_sky, write_config

from alignsvc import api
from alignsvc.io import journal
from alignsvc.io.journal_store import Journal
from alignsvc.io.locations import RunLocations
from alignsvc.run import events

#: What only the driver writes, and what nothing is read from: see docs/run_store.md.
NOT_OF_TASKS = re.compile(r"tables/(solved|sources|mosaic|wanted|start)|.*\.partial-")
KINDS: dict[str, dict[str, Any]] = {
    "correlate": {},
    "otf": {"alignment": {"update": "otf", "solver": "independent"}},
    "both": {"alignment": {"method": {"name": "both", "source": "moffat"}}},
    "rays": {"mosaic": {"reject_cosmic_rays": True}, "alignment": {"max_iterations": [2, 2]}},
}


@pytest.fixture(scope="module")
def sky(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_sky(tmp_path_factory.mktemp("law") / "sky", rays=300.0)


@dataclass
class Quiet:
    """What undisturbed runs give, and how much each has to tell."""

    sky: Path
    known: dict[str, tuple[dict[str, str], int]] = field(default_factory=dict)

    def of(self, kind: str) -> tuple[dict[str, str], int]:
        if kind not in self.known:
            heard: list[events.Event] = []
            config = write_config(self.sky.with_name(f"{kind}.yaml"), self.sky, **KINDS[kind])
            run = api.align(config, api.RunOptions(listener=heard.append)).directory
            n = sum(isinstance(one, events.StageStarted | events.TaskEnded) for one in heard)
            self.known[kind] = (content(run), n)
        return self.known[kind]


@pytest.fixture(scope="module")
def quiet(sky: Path) -> Quiet:
    return Quiet(sky)


def damage(file: Path, rng: np.random.Generator) -> None:
    """Change a byte of a file, cut it, or remove it."""
    raw, how = bytearray(file.read_bytes()), rng.random()
    file.unlink()  # tiles of two generations may be one file
    if how < 0.8:
        at = int(rng.integers(len(raw)))
        raw[at] ^= int(rng.integers(1, 256))
        file.write_bytes(raw)
    elif how < 0.9:
        file.write_bytes(raw[: len(raw) // 2])


class Damages:
    """Damages files of a run, some when each of several events is heard."""

    def __init__(self, run: Path, seed: int, moments: Sequence[int], at_once: int) -> None:
        self.run, self.rng = run, np.random.default_rng(seed)
        self.moments, self.at_once = moments, at_once
        self.count, self.done, self.notes = 0, list[str](), list[str]()

    def __call__(self, event: events.Event) -> None:
        if isinstance(event, events.Note):
            self.notes.append(event.text)
            return
        self.count += 1
        if self.count in self.moments:
            for _ in range(self.at_once):
                self._damage_one()

    def _damage_one(self) -> None:
        """Damage a product: first a kind of them by lot, then one of the kind."""
        kinds: dict[str, list[Path]] = {}
        for top in ("contributions", "mosaic.zarr", "tables", "receipts"):
            for file in sorted((self.run / top).rglob("*")):
                name = file.relative_to(self.run).as_posix()
                if file.is_file() and not NOT_OF_TASKS.match(name):
                    kind = re.sub(r"generation-\d+|[0-9a-f]{64}|\d+", "", name)
                    kinds.setdefault(kind, []).append(file)
        if kinds:
            kind = sorted(kinds)[int(self.rng.integers(len(kinds)))]
            file = kinds[kind][int(self.rng.integers(len(kinds[kind])))]
            self.done.append(file.relative_to(self.run).as_posix())
            damage(file, self.rng)


CASES = [
    pytest.param(kind, seed, marks=[] if (kind, seed) == ("correlate", 0) else pytest.mark.slow)
    for kind in KINDS
    for seed in range(8)
]


@pytest.mark.parametrize(("kind", "seed"), CASES)
def test_two_damages_whichever_and_whenever_change_no_bit(
    sky: Path, quiet: Quiet, tmp_path: Path, kind: str, seed: int
) -> None:
    wanted, n_events = quiet.of(kind)
    rng = np.random.default_rng([seed, 5])
    # At once, one after the other, or the second while the first is mended.
    first = int(rng.integers(3, n_events))
    both = [first] if seed % 2 == 0 else [first, first + int(rng.integers(1, 30))]
    damages = Damages(tmp_path / "run", seed, both, 3 - len(both))
    config = write_config(tmp_path / "run.yaml", sky, **KINDS[kind])
    run = api.align(config, api.RunOptions(listener=damages)).directory
    assert content(run) == wanted, (damages.done, damages.notes)
    told = Journal(RunLocations(run).objects, lambda: 0.0).events()
    found = [event.message for event in told if isinstance(event, journal.DamageFound)]
    assert len(found) == len([note for note in damages.notes if "going back" in note])
