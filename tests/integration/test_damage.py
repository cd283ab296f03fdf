"""A byte that changes on the disk costs some work, and no bit of the result."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from durable_runs import content, make_sky, write_config

from alignsvc import api
from alignsvc.errors import DamagedProduct
from alignsvc.run.records import events


@pytest.fixture(scope="module")
def sky(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_sky(tmp_path_factory.mktemp("damage") / "sky")


@pytest.fixture(scope="module")
def wanted(sky: Path) -> dict[str, str]:
    """What an undisturbed run gives."""
    return content(api.align(write_config(sky.with_name("quiet.yaml"), sky)).directory)


class Stop(Exception):
    """The driver dies."""


def flip_a_byte(folder: Path) -> None:
    """Change one byte in the middle of the largest chunk below a folder."""
    chunks = [p for p in folder.rglob("*") if p.is_file() and p.name != "zarr.json"]
    chunk = max(chunks, key=lambda path: path.stat().st_size)
    raw = bytearray(chunk.read_bytes())
    raw[len(raw) // 2] ^= 0xFF
    chunk.unlink()  # tiles of two generations may be one file
    chunk.write_bytes(raw)


class FlipsAByte:
    """Damages something once, when a stage begins; keeps what the run has to say."""

    def __init__(self, folder: Path, stage: str) -> None:
        self.folder, self.stage = folder, stage
        self.notes: list[str] = []

    def __call__(self, event: events.Event) -> None:
        if isinstance(event, events.Note):
            self.notes.append(event.text)
        if isinstance(event, events.StageStarted) and event.stage == self.stage:
            self.stage = ""
            flip_a_byte(self.folder)


@pytest.mark.parametrize(
    ("what", "stage", "named"),
    [
        ("contributions", "merge", r"contribution \w+, tile c0/\d\.\d: \S+ is damaged"),
        pytest.param(
            "mosaic.zarr",
            "measure",
            r"mosaic generation \d, tile c0/\d\.\d: \S+ is damaged",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_damage_in_a_run_is_named_and_mended_without_ending_it(
    sky: Path, wanted: dict[str, str], tmp_path: Path, what: str, stage: str, named: str
) -> None:
    flips = FlipsAByte(tmp_path / "run" / what, stage)
    result = api.align(write_config(tmp_path / "run.yaml", sky), api.RunOptions(listener=flips))
    assert content(result.directory) == wanted
    (told,) = [note for note in flips.notes if "going back" in note]
    assert re.search(named, told), told


@pytest.mark.parametrize("pass_number", [pytest.param(1, marks=pytest.mark.slow), 2])
def test_damage_to_whose_pixels_are_whose_is_mended_though_the_mosaic_it_is_of_is_gone(
    sky: Path, wanted: dict[str, str], tmp_path: Path, pass_number: int
) -> None:
    """The second pass detects nothing: the map that it reads is of the first one's mosaic."""
    notes: list[str] = []
    flipped: list[Path] = []

    def flips_one(event: events.Event) -> None:
        if isinstance(event, events.Note):
            notes.append(event.text)
        is_measured = isinstance(event, events.StageStarted) and event.stage == "measure"
        if is_measured and event.pass_number == pass_number and not flipped:
            (generation,) = (tmp_path / "run" / "mosaic.zarr").glob("generation-*")
            flipped.append(generation)
            flip_a_byte(generation / "c0" / "segmentation")

    config = write_config(tmp_path / "run.yaml", sky)
    result = api.align(config, api.RunOptions(listener=flips_one))
    assert content(result.directory) == wanted
    (told,) = [note for note in notes if "going back" in note]
    assert re.search(r"mosaic generation \d, tile c0/\d\.\d: \S+ is damaged", told), told
    again = [note for note in notes if "made again from the exposures, as in pass 1" in note]
    assert len(again) == pass_number - 1


@pytest.mark.slow
def test_a_damaged_table_of_displacements_is_measured_again(
    sky: Path, wanted: dict[str, str], tmp_path: Path
) -> None:
    flips = FlipsAByte(tmp_path / "run" / "tables" / "measure", "")

    def after_a_measurement(event: events.Event) -> None:
        flips(event)
        if isinstance(event, events.TaskEnded) and event.stage == "measure" and not seen:
            seen.append(event)
            flip_a_byte(flips.folder)

    seen: list[events.Event] = []
    config = write_config(tmp_path / "run.yaml", sky)
    result = api.align(config, api.RunOptions(listener=after_a_measurement))
    assert content(result.directory) == wanted
    assert any("table tables/measure/" in note for note in flips.notes)


@pytest.mark.slow
def test_damage_that_comes_again_ends_the_run_and_names_it(sky: Path, tmp_path: Path) -> None:
    def flips_always(event: events.Event) -> None:
        if isinstance(event, events.StageStarted) and event.stage == "merge":
            flip_a_byte(tmp_path / "run" / "contributions")

    config = write_config(tmp_path / "run.yaml", sky)
    with pytest.raises(DamagedProduct, match=r"contribution \w+, tile .* damaged 7 times: look"):
        api.align(config, api.RunOptions(listener=flips_always))


@pytest.mark.parametrize(
    ("what", "stage"),
    [
        ("contributions", "merge"),
        pytest.param("contributions", "measure", marks=pytest.mark.slow),
        pytest.param("mosaic.zarr", "detect", marks=pytest.mark.slow),
        ("mosaic.zarr", "measure"),
    ],
)
def test_a_damaged_chunk_is_made_again(
    sky: Path, wanted: dict[str, str], tmp_path: Path, what: str, stage: str
) -> None:
    def die_at(event: events.Event) -> None:
        if isinstance(event, events.StageStarted) and event.stage == stage:
            raise Stop

    config = write_config(tmp_path / "run.yaml", sky)
    with pytest.raises(Stop):
        api.align(config, api.RunOptions(listener=die_at))
    flip_a_byte(tmp_path / "run" / what)
    assert content(api.align(config).directory) == wanted
