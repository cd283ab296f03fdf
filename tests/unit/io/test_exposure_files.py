"""From paths and patterns to exposures and their ids."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from exposure_samples import PLAIN, image, pixels_of, write

from alignsvc.errors import ConfigError
from alignsvc.io.exposure_files import find_exposures
from alignsvc.io.image_settings import GroupByKeyword, GroupByPath, ImageSettings, Sidecar
from alignsvc.reasons import FailureKind


def found_ids(*paths: object, settings: ImageSettings = PLAIN) -> list[str]:
    return [c.id for c in find_exposures(tuple(map(str, paths)), settings).candidates]


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def test_ids_are_paths_below_the_common_parent_without_the_suffix(tmp_path: Path) -> None:
    touch(tmp_path, "n1/b.fits", "n1/a.fits.gz", "n2/a.fits.fz", "n2/c.d.FIT", "n2/e.fts")
    assert found_ids(tmp_path / "n*" / "*") == ["n1/a", "n1/b", "n2/a", "n2/c.d", "n2/e"]
    assert found_ids(tmp_path / "n1" / "*") == ["a", "b"]
    assert found_ids(tmp_path / "n1" / "b.fits") == ["b"]


def test_patterns_go_through_folders_and_leave_hidden_files_out(tmp_path: Path) -> None:
    touch(tmp_path, "a.fits", "n/b.fits", "n/m/c.fits", "n/._b.fits")
    assert found_ids(tmp_path / "**" / "*.fits") == ["a", "n/b", "n/m/c"]


def test_a_file_whose_name_looks_like_a_pattern_is_that_file(tmp_path: Path) -> None:
    touch(tmp_path, "a[1].fits", "a1.fits")
    assert found_ids(tmp_path / "a[1].fits") == ["a[1]"]


def test_relative_paths_start_from_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    touch(tmp_path, "n/a.fits", "n/b.fits")
    monkeypatch.chdir(tmp_path / "n")
    (first, _) = find_exposures(("../n/*.fits",), PLAIN).candidates
    assert first.files == (str(tmp_path / "n" / "a.fits"),)


def test_a_named_file_that_does_not_exist_is_a_failed_exposure(tmp_path: Path) -> None:
    touch(tmp_path, "a.fits")
    found = find_exposures((str(tmp_path / "a.fits"), str(tmp_path / "gone.fits")), PLAIN)
    assert [c.id for c in found.candidates] == ["a"]
    (gone,) = found.failed
    assert (gone.id, gone.kind) == ("gone", FailureKind.MISSING)
    assert "gone.fits: the file does not exist; " in gone.message


@pytest.mark.parametrize(
    ("paths", "said"),
    [
        (["none*.fits"], "matches no file"),
        (["n"], r"is a folder; name the files in it: .*n/\*.fits"),
        (["a.fits", "a.fits"], "given twice"),
        (["a.fits", "*.fits"], "given twice"),
        (["a.fits", "n/../a.fits"], "given twice"),
        (["a.fits", "link.fit"], "given twice"),
        (["a.fits", "a.fits.gz"], "would both be exposure 'a'"),
    ],
)
def test_paths_that_cannot_be_meant_are_errors(tmp_path: Path, paths: list[str], said: str) -> None:
    touch(tmp_path, "a.fits", "a.fits.gz", "n/b.fits")
    (tmp_path / "link.fit").symlink_to(tmp_path / "a.fits")
    with pytest.raises(ConfigError, match=said):
        find_exposures(tuple(str(tmp_path / path) for path in paths), PLAIN)


def test_sidecars_of_files_found_are_not_exposures(tmp_path: Path) -> None:
    touch(tmp_path, *(f"c4d_{n}_oo{kind}_z.fits" for n in (1, 2) for kind in "idw"))
    both = ImageSettings(weight=Sidecar("ooi", "oow"), mask=Sidecar("ooi", "ood"))
    assert found_ids(tmp_path / "*", settings=both) == ["c4d_1_ooi_z", "c4d_2_ooi_z"]
    touch(tmp_path / "j", "a.fits", "a.noise.fits")
    noise = ImageSettings(weight=Sidecar(".fits", ".noise.fits"))
    assert found_ids(tmp_path / "j" / "*.fits", settings=noise) == ["a"]


# Grouping.


def test_files_are_grouped_by_a_match_in_their_paths(tmp_path: Path) -> None:
    touch(tmp_path, *(f"e{e}_chip{c}.fits" for e in (1, 2) for c in (1, 2)))
    found = find_exposures(
        (str(tmp_path / "*"),), replace(PLAIN, group_by=GroupByPath(r"(e\d)_chip"))
    )
    assert [c.id for c in found.candidates] == ["e1", "e2"]
    assert [Path(f).name for f in found.candidates[0].files] == ["e1_chip1.fits", "e1_chip2.fits"]


def test_files_are_grouped_by_a_header_keyword(tmp_path: Path) -> None:
    for k in (1, 2, 3):
        write(tmp_path / f"{k}.fits", image(pixels_of(), EXPNUM=7 if k < 3 else 8))
    touch(tmp_path, "broken.fits")
    by_number = replace(PLAIN, group_by=GroupByKeyword("EXPNUM"))
    # What cannot be read stands by itself, to fail with its own reason.
    assert found_ids(tmp_path / "*", settings=by_number) == ["7", "8", "broken"]


@pytest.mark.parametrize("group_by", [GroupByKeyword("NOTHERE"), GroupByPath("nothere")])
def test_a_file_that_no_group_takes_is_an_error(
    tmp_path: Path, group_by: GroupByKeyword | GroupByPath
) -> None:
    write(tmp_path / "a.fits", image(pixels_of()))
    with pytest.raises(ConfigError, match=r"a\.fits"):
        find_exposures((str(tmp_path / "*"),), replace(PLAIN, group_by=group_by))
