"""What the documents say is so: keys, configurations, commands, names, links, others' keys."""

from __future__ import annotations

import dataclasses
import re
import shutil
import subprocess
from pathlib import Path

import notebook_files
import numpy as np
import pytest
import yaml
from astropy.wcs import WCS
from told_names import (
    blocks,
    commands_in,
    is_key,
    is_name,
    keys_in,
    names_in,
    require_command,
    require_configuration,
)

import alignsvc
from alignsvc.cli.ends import UsageError
from alignsvc.config.build import build_cluster
from alignsvc.config.load import parse_config
from alignsvc.config.resolved import resolved

ROOT = Path(__file__).parents[2]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
NAMES = {"ids": lambda path: path.name}


@pytest.mark.parametrize("path", DOCUMENTS, **NAMES)
def test_keys_that_a_document_names_are_keys(path: Path) -> None:
    assert [key for key in sorted(keys_in(path.read_text())) if not is_key(key)] == []


@pytest.mark.parametrize(
    ("key", "is_one"),
    [
        ("alignment.geometry", True),
        ("alignment.method.correlation", True),
        ("alignment.method.corelation", False),
        ("alignment.geomtry", False),
        ("alignment.geometry.shift", False),
        ("images.sky.filter_size", True),
        ("cluster.walltime", True),
    ],
)
def test_what_counts_as_a_key(key: str, is_one: bool) -> None:
    assert is_key(key) is is_one


@pytest.mark.parametrize("path", DOCUMENTS, **NAMES)
def test_configurations_in_a_document_are_configurations(path: Path) -> None:
    for text in blocks(path.read_text(), "yaml"):
        require_configuration(text)


def test_the_readme_shows_every_key_with_its_default() -> None:
    every = [text for text in blocks((ROOT / "README.md").read_text(), "yaml") if "clip:" in text]
    (shown,) = every
    told = resolved(parse_config(shown, "README.md"))
    default = resolved(parse_config("images: {paths: ['data/*.fits']}", "defaults"))
    assert told.model_copy(update={"cluster": default.cluster}) == default
    assert build_cluster(told, None) == build_cluster(default, None)
    sections = yaml.safe_load(shown)
    for section, keys in default.model_dump(exclude={"cluster"}).items():
        assert sections[section].keys() == keys.keys()


@pytest.mark.parametrize("path", DOCUMENTS, **NAMES)
def test_values_in_a_table_are_values(path: Path) -> None:
    said = re.findall(r"`([a-z]+)\.([a-z_]+): ([^`]+)`", path.read_text())
    for section, key, value in said:
        require_configuration(f"{section}:\n  {key}: {value}\n")


@pytest.mark.parametrize("path", DOCUMENTS, **NAMES)
def test_commands_in_a_document_are_commands(path: Path) -> None:
    for words in commands_in(path.read_text()):
        require_command(words)


@pytest.mark.parametrize("words", [["run", "a.yaml", "--sett", "x=y"], ["watch"], ["align", "a"]])
def test_what_is_no_command_is_told(words: list[str]) -> None:
    with pytest.raises((KeyError, UsageError)):
        require_command(words)


@pytest.mark.parametrize("path", DOCUMENTS, **NAMES)
def test_names_in_a_document_are_names(path: Path) -> None:
    text = path.read_text()
    code = "\n".join(blocks(text, "python"))
    quoted = set(re.findall(r"`(alignsvc(?:\.[a-zA-Z_]\w*)+)", text))
    assert [name for name in sorted(names_in(code) | quoted) if not is_name(name)] == []


@pytest.mark.parametrize(
    "path", [*DOCUMENTS, *notebook_files.notebook_paths()], ids=lambda path: path.name
)
def test_links_lead_to_files(path: Path) -> None:
    text = notebook_files.markdown_of(path) if path.suffix == ".ipynb" else path.read_text()
    prose = "".join(text.split("```")[::2])
    targets = re.findall(r"\]\(([^)\s#]+)", prose)
    near = [target for target in targets if "://" not in target]
    assert [target for target in near if not (path.parent / target).is_file()] == []


def test_the_index_leads_to_every_document() -> None:
    index = (ROOT / "docs" / "index.md").read_text()
    wanted = {f"notebooks/{path.name}" for path in notebook_files.notebook_paths()}
    wanted |= {path.name for path in (ROOT / "docs").glob("*.md")} - {"index.md"}
    assert wanted <= set(re.findall(r"\]\(([^)\s#]+)", index))
    assert "(docs/index.md)" in (ROOT / "README.md").read_text()


@pytest.mark.parametrize(
    ("document", "programs"), [("from_swarp.md", ("SWarp", "swarp")), ("from_scamp.md", ("scamp",))]
)
def test_keys_of_another_program_are_its_keys(document: str, programs: tuple[str, ...]) -> None:
    program = next((found for name in programs if (found := shutil.which(name))), None)
    if program is None:
        pytest.skip(f"{programs[-1]} is not installed: its keys were not compared")
    known = subprocess.run([program, "-dd"], capture_output=True, text=True, check=True).stdout
    rows = re.findall(r"^\| (.*?) \|", (ROOT / "docs" / document).read_text(), re.MULTILINE)
    said = {
        word
        for row in rows
        for quoted in re.findall(r"`([A-Z][A-Z0-9_ -]+)`", row)
        for word in quoted.split()
        if len(word) > 1
    }
    assert len(said) > 25
    assert [word for word in sorted(said) if word not in known] == []


def test_settings_named_for_users_of_astrophot_are_settings() -> None:
    text = (ROOT / "docs" / "from_astrophot.md").read_text()
    known = {field.name for field in dataclasses.fields(alignsvc.SceneSettings)}
    named = set(re.findall(r'(\w+)="(\w+)"', text))
    named |= {("sky", word) for word in re.findall(r'"(\w+)"', text.split("| `sky=")[1][:120])}
    said = [(key, value) for key, value in named if key in known]
    assert len(said) > 12
    for key, value in said:
        alignsvc.SceneSettings(**{key: value})


def test_a_turn_of_pixels_as_users_of_astrophot_know_it() -> None:
    """By the document's own code: the second image is turned by 0.03 rad and shifted."""
    wcs = WCS(naxis=2)
    wcs.wcs.ctype, wcs.wcs.crval = ("RA---TAN", "DEC--TAN"), (150.0, 2.0)
    wcs.wcs.crpix, wcs.wcs.cd = (40.5, 40.5), np.diag([-0.2, 0.2]) / 3600
    at = np.array([[20.3, 60.2, 41.0, 22.0], [22.1, 30.4, 62.5, 55.0]]) - 39.5
    cos, sin = np.cos(0.03), np.sin(0.03)
    moved = np.array([[cos, sin], [-sin, cos]]) @ at + np.array([[0.4], [-0.3]])

    def image(places: np.ndarray) -> np.ndarray:
        y, x = np.mgrid[:80, :80] - 39.5
        lights = [np.exp(-((x - a) ** 2 + (y - b) ** 2) / 8) for a, b in places.T]
        noise = np.random.default_rng(3).normal(0, 2, (80, 80))
        return np.asarray(500 * sum(lights) + noise)

    (code,) = blocks((ROOT / "docs" / "from_astrophot.md").read_text(), "python")
    ra, dec = wcs.all_pix2world(*(at + 39.5), 0)
    names = {
        "alignsvc": alignsvc,
        "wcs": wcs,
        "first": alignsvc.SceneExposure(image(at), wcs, 4.0),
        "pixels": image(moved),
        "stars": alignsvc.SceneSources(ra, dec),
    }
    exec(compile(code, "from_astrophot.md", "exec"), names)  # noqa: S102
    fit = names["fitted"].fit  # type: ignore[attr-defined]
    assert abs(abs(fit.value_of("phi")) - 0.03) < 5 * fit.error_of("phi") < 0.01


def test_the_kernel_of_subpixal_beside_ours() -> None:
    (code,) = [
        block
        for block in blocks((ROOT / "docs" / "from_subpixal.md").read_text(), "python")
        if "halves" in block
    ]
    exec(compile(code, "from_subpixal.md", "exec"), {})  # noqa: S102
