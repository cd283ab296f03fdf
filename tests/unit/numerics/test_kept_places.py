"""Where machine code is kept, by whom."""

from __future__ import annotations

from pathlib import Path

import pytest

from alignsvc.numerics import kept_places
from alignsvc.numerics.kept_places import PYTHON, SUFFIX, folders_of, is_any_kept
from alignsvc.run.driving.first_time import compiling_note

SOURCE = Path(kept_places.__file__).parent / "displacement" / "surfaces.py"


@pytest.fixture(autouse=True)
def nothing_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))


def keep(suffix: str = SUFFIX) -> None:
    (folder,) = folders_of(SOURCE)
    folder.mkdir()
    (folder / f"surfaces.extents.{PYTHON}.0.0{suffix}").touch()


def test_a_place_that_is_given_is_the_only_one(tmp_path: Path) -> None:
    assert [one.parent for one in folders_of(SOURCE)] == [tmp_path]


def test_else_code_is_beside_its_source_or_the_user_s(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NUMBA_CACHE_DIR")
    monkeypatch.setenv("XDG_CACHE_HOME", "/home/me/kept")
    beside, of_user = folders_of(SOURCE)
    assert beside == SOURCE.parent / "__pycache__"
    assert of_user.is_relative_to("/home/me/kept/alignsvc")


def test_sources_of_one_name_in_two_installations_do_not_share(tmp_path: Path) -> None:
    assert folders_of(tmp_path / "a" / "x" / "f.py") != folders_of(tmp_path / "b" / "x" / "f.py")


def test_what_was_compiled_is_seen() -> None:
    assert not is_any_kept()
    keep()
    assert is_any_kept()


def test_a_file_that_is_not_finished_is_nothing() -> None:
    keep(f"{SUFFIX}.1234.part")
    assert not is_any_kept()


def test_the_first_run_of_an_installation_says_that_it_compiles() -> None:
    (note,) = compiling_note()
    assert "alignsvc prepare" in note
    keep()
    assert compiling_note() == ()
