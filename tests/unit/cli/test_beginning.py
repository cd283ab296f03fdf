"""What begins before the program is imported: only for workers that a new run will have."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from alignsvc.cli import beginning


@pytest.fixture
def begun(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A word for each time that it began."""
    times: list[str] = []
    monkeypatch.setattr(beginning, "begin_server", lambda: times.append("begun"))
    return times


def written(folder: Path, backend: str) -> Path:
    """Write a configuration of a run in the folder ``run``; return its path."""
    sections = {
        "images": {"paths": ["in/*.fits"]},
        "run": {"directory": str(folder / "run")},
        "cluster": {"backend": backend},
    }
    path = folder / "run.yaml"
    path.write_text(yaml.safe_dump(sections))
    return path


def test_it_begins_for_a_new_run_on_workers_of_this_machine(
    tmp_path: Path, begun: list[str]
) -> None:
    beginning.begin_workers(written(tmp_path, "local"), ())
    assert begun == ["begun"]


def test_settings_of_the_command_line_count(tmp_path: Path, begun: list[str]) -> None:
    beginning.begin_workers(written(tmp_path, "local"), ("cluster.backend=serial",))
    assert begun == []
    beginning.begin_workers(written(tmp_path, "serial"), ("cluster.backend=local",))
    assert begun == ["begun"]


def test_a_run_that_is_there_may_have_ended(tmp_path: Path, begun: list[str]) -> None:
    (tmp_path / "run").mkdir()
    beginning.begin_workers(written(tmp_path, "local"), ())
    assert begun == []


@pytest.mark.parametrize("text", ["", "images: {pahts: [a]}", "a: [", None])
def test_what_is_wrong_with_a_configuration_is_told_by_who_reads_it_next(
    tmp_path: Path, begun: list[str], text: str | None
) -> None:
    path = tmp_path / "run.yaml"
    if text is not None:
        path.write_text(text)
    beginning.begin_workers(path, ())
    assert begun == []
