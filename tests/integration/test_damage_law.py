"""Whatever tasks have made may be damaged, several at once, at any time: the result is the same."""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from durable_runs import content, make_sky, write_config

from alignsvc import api
from alignsvc.errors import RunStoreError
from alignsvc.io import journal
from alignsvc.io.journal_store import Journal
from alignsvc.io.locations import RunLocations
from alignsvc.run.records import events

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


class Stop(Exception):
    """The driver dies."""


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["both", "rays"])
def test_all_measurements_gone_after_the_last_mosaic_are_made_on_those_that_went_before(
    sky: Path, quiet: Quiet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """Verdicts, last solve and comparison may need them; their mosaics are gone by now."""
    wanted, _ = quiet.of(kind)
    config = write_config(tmp_path / "run.yaml", sky, **KINDS[kind])

    def die(*_: object) -> None:
        raise Stop

    with monkeypatch.context() as patch, pytest.raises(Stop):
        patch.setattr("alignsvc.run.finishing.finish.write_reports", die)
        api.align(config)
    for lost in ("tables/measure", "tables/tell", "tables/background", "tables/reject"):
        for file in (tmp_path / "run" / lost).glob("*.npz"):
            file.unlink()
    shutil.rmtree(tmp_path / "run" / "contributions")
    notes: list[str] = []

    def hear(event: events.Event) -> None:
        if isinstance(event, events.Note):
            notes.append(event.text)

    run = api.align(config, api.RunOptions(listener=hear)).directory
    assert content(run) == wanted
    assert any(note.startswith("measure was damaged or gone, and is done again") for note in notes)


@pytest.mark.slow
def test_the_last_mosaic_damaged_while_methods_are_compared_on_it_is_made_again(
    sky: Path, quiet: Quiet, tmp_path: Path
) -> None:
    wanted, _ = quiet.of("both")
    rng, done = np.random.default_rng(3), list[str]()

    def damage_all(event: events.Event) -> None:
        if isinstance(event, events.StageStarted) and event.stage == "compare" and not done:
            run = tmp_path / "run"
            for pattern in ("mosaic.zarr/*/c0/*/c/*/*", "contributions/*/c/0/*/*"):
                for file in sorted(run.glob(pattern)):
                    done.append(file.name)
                    damage(file, rng)

    config = write_config(tmp_path / "run.yaml", sky, **KINDS["both"])
    run = api.align(config, api.RunOptions(listener=damage_all)).directory
    assert content(run) == wanted and len(done) > 15


@pytest.mark.slow
def test_what_only_the_driver_wrote_ends_the_run_and_all_of_it_is_named(
    sky: Path, tmp_path: Path
) -> None:
    rng, done = np.random.default_rng(4), list[str]()

    def damage_some(event: events.Event) -> None:
        is_second = isinstance(event, events.StageStarted) and event.pass_number == 2
        if is_second and event.stage == "measure" and not done:  # type: ignore[union-attr]
            run = tmp_path / "run"
            for pattern in ("tables/sources/*-chosen/*.npz", "tables/solved/*-0001.npz"):
                (file,) = run.glob(pattern)
                file.unlink()
                done.append(file.relative_to(run).as_posix())
            for file in sorted(run.glob("mosaic.zarr/*/c0/weight/c/*/*")):
                damage(file, rng)

    config = write_config(tmp_path / "run.yaml", sky)
    with pytest.raises(RunStoreError, match="written by the driver alone") as caught:
        api.align(config, api.RunOptions(listener=damage_some))
    assert all(name in str(caught.value) for name in done) and len(done) == 2
    assert "found damaged before: " in str(caught.value)
