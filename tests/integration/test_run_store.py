"""What is in a run store, and that the page which describes it is true."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from durable_runs import make_sky, write_config
from workplaces import Command, Workplace

from alignsvc import api
from alignsvc.cli.main import exit_code
from alignsvc.config.load import load_config
from alignsvc.domain.outcome import ExitCode
from alignsvc.io import journal_store
from alignsvc.io.codec import sealed, unsealed
from alignsvc.io.journal import EventKind
from alignsvc.io.locations import FORMAT_VERSION, RunLocations
from alignsvc.io.mosaic_store import MosaicStore
from alignsvc.run.driving import service
from alignsvc.run.driving.service import RunOptions
from alignsvc.run.records import events

PAGE = (Path(__file__).parents[2] / "docs" / "run_store.md").read_text()


@pytest.fixture(scope="module")
def sky(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_sky(tmp_path_factory.mktemp("store") / "sky")


@pytest.fixture(scope="module")
def seen(sky: Path) -> list[tuple[int, ...]]:
    """The generations that there were whenever a run had something to tell."""
    store, seen = MosaicStore(sky.parent / "run" / "mosaic.zarr"), []

    def look(event: events.Event) -> None:
        seen.append(store.generations())

    api.align(write_config(sky.parent / "run.yaml", sky), api.RunOptions(listener=look))
    return seen


@pytest.fixture
def run(sky: Path, seen: list[tuple[int, ...]]) -> Path:
    return sky.parent / "run"


def test_there_are_two_generations_at_most_and_one_at_the_end(
    run: Path, seen: list[tuple[int, ...]]
) -> None:
    assert {len(generations) for generations in seen} == {0, 1, 2}
    assert len(MosaicStore(run / "mosaic.zarr").generations()) == 1


def test_the_page_names_all_that_is_in_a_store(run: Path) -> None:
    for path in run.iterdir():
        assert f"`{path.name}" in PAGE, f"docs/run_store.md says nothing of {path.name}"
    assert f"of format {FORMAT_VERSION}." in PAGE
    for kind in EventKind:
        assert f"`{kind.value}`" in PAGE, f"docs/run_store.md says nothing of events {kind.value}"


def test_ten_lines_of_python_read_the_journal_and_notice_damage(run: Path, tmp_path: Path) -> None:
    (program,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    assert len(program.splitlines()) <= 10

    def read(where: Path) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-I", "-c", program, str(where)]
        return subprocess.run(command, capture_output=True, text=True, timeout=120)

    lines = read(run).stdout.splitlines()
    names = sorted((run / "journal").iterdir())
    assert len(lines) == len(names)
    assert lines[0].split()[2] == "run_created" and lines[-1].split()[2] == "finished"
    copied = tmp_path / "journal" / "00000001.json"
    copied.parent.mkdir()
    copied.write_bytes(names[0].read_bytes().replace(b'"sequence":1', b'"sequence":2'))
    assert "00000001.json is damaged" in read(tmp_path).stderr


def test_another_format_is_refused_with_both_versions_by_every_command(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its settings may mean nothing by now: the format is looked at before them."""
    old = tmp_path / "old"
    objects = RunLocations(old).objects
    event = unsealed((run / "journal" / "00000001.json").read_bytes())
    objects.put("journal/00000001.json", sealed({**event, "format": FORMAT_VERSION - 1}))
    objects.put("config.yaml", b"setting: of the past")
    before = {path: path.read_bytes() for path in old.rglob("*") if path.is_file()}
    config = (run.with_suffix(".yaml")).read_text().replace(str(run), str(old))
    (tmp_path / "new.yaml").write_text(config)
    wanted = f"is in format {FORMAT_VERSION - 1}, this version of alignsvc reads format"
    for command in (
        ["status", old],
        ["watch", old],
        ["resume", old],
        ["apply", old],
        ["run", tmp_path / "new.yaml"],
    ):
        assert exit_code([str(part) for part in command]) == ExitCode.RUN_STORE, command
        assert f"{wanted} {FORMAT_VERSION}" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in old.rglob("*") if path.is_file()} == before


def test_a_run_of_another_format_can_be_replaced(
    work: Workplace, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as past:
        past.setattr(journal_store, "FORMAT_VERSION", FORMAT_VERSION - 1)
        plan = service.ready(load_config(Path(work.config())), RunOptions())
        service.prepare(plan, RunOptions())
    ended = command("run", work.config())
    assert ended.code == 3 and "--new" in ended.sentence
    assert command("run", work.config(), "--new").code == 0
    assert command("status", work.run).code == 0
