"""The runbook names only commands, files and settings that exist."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest
import typer.main
import yaml

from alignsvc.cli.main import app
from alignsvc.engine.clusters import cluster_backend

FOLDER = Path(__file__).resolve().parents[2] / "deploy"
PAGES = sorted(FOLDER.rglob("*.md"))
IDS = [str(page.relative_to(FOLDER)) for page in PAGES]

SETTINGS = re.compile(r"`cluster\.(\w+)[:`]")


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_commands_that_a_page_names_are_commands(page: Path) -> None:
    known = set(typer.main.get_command(app).commands)  # type: ignore[attr-defined]
    named = re.findall(r"(?:`|^)alignsvc ([a-z]+)\b", page.read_text(), flags=re.MULTILINE)
    assert set(named) <= known


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_links_lead_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)]+)\)", page.read_text()):
        assert (page.parent / link).exists(), link


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_configurations_can_be_used(page: Path) -> None:
    for block in re.findall(r"```yaml\n(.*?)```", page.read_text(), flags=re.DOTALL):
        settings = dict(yaml.safe_load(block)["cluster"])
        cluster_backend(settings.pop("backend"), settings)


def test_settings_that_the_pages_of_a_system_name_are_its_own() -> None:
    for name in ("kubernetes", "gateway", "ssh"):
        page = (FOLDER / name / "README.md").read_text()
        example = re.findall(r"```yaml\n(.*?)```", page, flags=re.DOTALL)
        shown = example or [(FOLDER / name / "run.yaml").read_text()]
        settings = dict(yaml.safe_load(shown[0])["cluster"])
        backend = cluster_backend(settings.pop("backend"), settings)
        known = {field.name for field in fields(backend)}  # type: ignore[arg-type]
        assert set(SETTINGS.findall(page)) <= known
