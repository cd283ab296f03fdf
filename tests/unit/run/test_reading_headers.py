"""Which headers are read before a run, where, and that it makes no difference to the plan."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from astropy.io import fits

from alignsvc.config.load import parse_config
from alignsvc.config.schema import Config
from alignsvc.errors import ConfigError
from alignsvc.io.exposure_files import find_files
from alignsvc.io.image_settings import ImageSettings
from alignsvc.io.locations import HEADERS_READ, HEADERS_SO_FAR
from alignsvc.run.driving.plans import planned, stored_plan
from alignsvc.run.driving.service import RunOptions, prepare, ready
from alignsvc.run.planning import header_progress, reading_headers
from alignsvc.run.planning.reading_headers import HeaderReader, n_processes
from alignsvc.run.records import events
from alignsvc.run.records.stored import state_of
from alignsvc.simulation.reading_settings import sky_settings
from alignsvc.simulation.simulate import simulate_to

SKY = {
    "layout": {"name": "stack", "count": 5, "ra": 150.1, "dec": 2.2},
    "camera": {"shape": [64, 64], "scale_arcsec": 0.2},
}


@pytest.fixture
def inputs(tmp_path: Path) -> Path:
    folder = tmp_path / "in"
    folder.mkdir()
    simulate_to(folder, sky_settings(SKY))
    return folder


@pytest.fixture
def config(inputs: Path, tmp_path: Path) -> Config:
    text = (
        f"{{images: {{paths: ['{inputs}/*.fits']}}, cluster: {{backend: serial}}, "
        f"run: {{directory: '{tmp_path}/run'}}}}"
    )
    return parse_config(text, "x.yaml")


def begun(config: Config) -> Path:
    """Return the directory of a run that has a journal and no task yet."""
    prepare(ready(config, RunOptions()), RunOptions())
    return Path(config.run.directory)


def test_a_check_reads_all_headers_and_keeps_none(config: Config) -> None:
    assert planned(config).planned.n_read == 5
    assert not Path(config.run.directory).exists()


def test_a_run_goes_on_without_reading_unchanged_files_and_with_the_same_identity(
    config: Config,
) -> None:
    first = planned(config)
    run = begun(config)
    again = stored_plan(run, config)
    assert again.planned.n_read == planned(config).planned.n_read == 0
    assert again.parts == first.parts and again.layout == first.layout
    assert [one.plane for one in again.exposures] == [one.plane for one in first.exposures]


def test_only_the_changed_file_is_read_again_and_the_identity_names_it(
    config: Config, inputs: Path
) -> None:
    run = begun(config)
    first = stored_plan(run, config)
    fits.setval(inputs / "exp003.fits", "OBSERVER", value="another")
    again = stored_plan(run, config)
    assert again.planned.n_read == 1
    assert {name for name, _ in set(first.parts) ^ set(again.parts)} == {"input exp003"}


def test_what_is_damaged_is_read_again_and_mended_by_the_next_driver(config: Config) -> None:
    run = begun(config)
    (run / HEADERS_READ).write_bytes(b"no JSON")
    plan = stored_plan(run, config)
    assert plan.planned.n_read == 5
    assert any(HEADERS_READ in note for note in plan.notes)
    begun(config)
    assert stored_plan(run, config).planned.n_read == 0


def reading_of(folder: Path, processes: int) -> tuple[list[str], list[str]]:
    found = find_files((f"{folder}/*.fits",), ImageSettings())
    reading = HeaderReader(ImageSettings(), processes)(found)
    assert reading.notes == ()
    prints = [f"{one.ref} {one.wcs[0].centre()} {one.chips}" for one in reading.headers]
    return prints, [one.message for one in reading.failed]


@pytest.mark.slow
def test_processes_read_what_one_reads_in_the_same_order(
    inputs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(inputs / "exp001.fits", inputs / "exp009.fits")
    (inputs / "exp0025.fits").write_bytes(b"no FITS at all")
    here = reading_of(inputs, 1)
    monkeypatch.setattr(reading_headers, "_WORTH_A_PROCESS", 2)
    monkeypatch.setattr(reading_headers, "_CHUNK", 2)
    assert reading_of(inputs, 2) == here
    assert len(here[0]) == 6 and len(here[1]) == 1


class Killed(BaseException):
    """The process dies."""


def test_a_planning_that_is_killed_goes_on_where_it_was(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading_headers, "_CHUNK", 2)
    monkeypatch.setattr(header_progress, "BETWEEN_S", 0.0)
    heard: list[events.HeadersRead] = []

    def dies_in_time(event: events.Event) -> None:
        if isinstance(event, events.HeadersRead):
            heard.append(event)
            if event.done == 4:
                raise Killed

    with pytest.raises(Killed):
        ready(config, RunOptions(listener=dies_in_time))
    assert [(one.done, one.total) for one in heard] == [(2, 5), (4, 5)]
    assert heard[0].text.startswith("headers: 2 of 5 read, ")
    run = Path(config.run.directory)
    assert [path.name for path in run.iterdir()] == [HEADERS_SO_FAR.rstrip("/")]
    plan = ready(config, RunOptions())
    assert (plan.planned.n_read, plan.planned.n_kept) == (3, 2)
    assert plan.identity == planned(config, is_new=True).identity
    prepare(plan, RunOptions())
    assert not (run / HEADERS_SO_FAR).exists() or not any((run / HEADERS_SO_FAR).iterdir())
    assert stored_plan(run, config).planned.n_read == 0
    told = state_of(run).planned
    assert told is not None and (told.n_read, told.n_kept) == (3, 2) and told.reading_s > 0


def test_nothing_is_left_where_a_run_may_not_be(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(header_progress, "BETWEEN_S", 0.0)
    theirs = Path(config.run.directory) / "theirs.txt"
    theirs.parent.mkdir()
    theirs.write_text("mine")
    with pytest.raises(ConfigError, match="not empty and holds no run"):
        ready(config, RunOptions())
    assert list(theirs.parent.iterdir()) == [theirs]


def test_exposures_that_a_keyword_groups_are_known_without_opening_a_file(
    config: Config, inputs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for k, path in enumerate(sorted(inputs.glob("*.fits"))):
        fits.setval(path, "VISIT", value=f"v{k}")
    images = config.images.model_copy(update={"group_by": "VISIT"})
    config = config.model_copy(update={"images": images})
    run = begun(config)

    def opened(path: str) -> None:
        raise AssertionError(f"{path} was opened")

    with monkeypatch.context() as patch:
        patch.setattr("alignsvc.io.exposure_files.open_fits", opened)
        plan = stored_plan(run, config)
    assert plan.planned.n_read == 0
    assert [one.ref.id for one in plan.headers] == ["v0", "v1", "v2", "v3", "v4"]
    fits.setval(inputs / "exp003.fits", "VISIT", value="another")
    again = stored_plan(run, config)
    assert again.planned.n_read == 1
    assert [one.ref.id for one in again.headers] == ["another", "v0", "v1", "v2", "v4"]


@pytest.mark.parametrize(
    ("cores", "n_items", "is_far", "n"),
    [
        (0, 10_000, False, 0), (0, 10_000, True, 0),  # all is to be read here
        (8, 200, False, 0), (8, 10_000, False, 8), (2, 1_000, False, 2),
        (1, 10_000, True, 4), (2, 10_000, True, 8), (64, 10_000, True, 16), (8, 50, True, 2),
    ],
)  # fmt: skip
def test_who_waits_for_a_server_leaves_room_for_others(
    cores: int, n_items: int, is_far: bool, n: int
) -> None:
    assert n_processes(cores, n_items, is_far=is_far) == n
