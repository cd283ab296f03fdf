"""A bad file among good ones is a failed exposure, not a dead run; and no input byte changes."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from bad_files import BAD_FILES, BAD_PIXELS, write_bad
from workplaces import Command, Ended, Workplace, digests

from alignsvc.cli.main import exit_code
from alignsvc.io.exposure_files import exposure_ids

GOOD = ("exp000", "exp001", "exp002")


@dataclass(frozen=True)
class MixedRun:
    """One run of three good files and every bad one."""

    code: int
    rows: dict[str, Any]
    before: dict[str, str]
    after: dict[str, str]


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory, small_sky: Path) -> MixedRun:
    place = Workplace(tmp_path_factory.mktemp("mixed"))
    shutil.copytree(small_sky, place.inputs, ignore=shutil.ignore_patterns("truth.json"))
    for name in BAD_FILES:
        write_bad(place.inputs / name, place.inputs / "exp000.fits")
    paths = [f"{place.inputs}/*", f"{place.inputs}/missing.fits"]
    before = place.digests()
    code = exit_code(["run", place.config({"images.paths": paths}), "--json"])
    report = Ended(code, (place.run / "report.json").read_text(), "").json
    return MixedRun(
        int(code), {row["id"]: row for row in report["exposures"]}, before, place.digests()
    )


def _id(name: str) -> str:
    return next(iter(exposure_ids([f"/x/{name}"]).values()))


def test_good_exposures_are_aligned_beside_bad_ones_and_the_run_ends_with_1(
    mixed: MixedRun,
) -> None:
    assert mixed.code == 1
    assert [mixed.rows[name]["status"] for name in GOOD] == ["aligned"] * 3
    assert len(mixed.rows) == len(GOOD) + len(BAD_FILES)


@pytest.mark.parametrize("name", BAD_FILES)
def test_a_bad_file_fails_with_its_reason_and_one_sentence(mixed: MixedRun, name: str) -> None:
    kind, said = BAD_FILES[name]
    row = mixed.rows[_id(name)]
    assert (row["status"], row["reason"]) == ("failed", kind.value)
    assert said in row["message"] and name in row["message"]
    assert ";" in row["message"] and "\n" not in row["message"]  # what it is; what to do


def test_no_input_byte_changes(mixed: MixedRun) -> None:
    assert mixed.before == mixed.after


@pytest.mark.parametrize("name", [name for name in BAD_FILES if name not in BAD_PIXELS])
@pytest.mark.parametrize("verb", ["run", "check"])
def test_a_bad_file_alone_leaves_nothing_to_do(
    work: Workplace, command: Command, name: str, verb: str
) -> None:
    bad = work.inputs / name
    write_bad(bad, work.inputs / "exp000.fits")
    before = work.digests()
    ended = command(verb, work.config({"images.paths": [str(bad)]}))
    assert ended.code == 2
    assert "no usable exposure" in ended.sentence and name in ended.sentence
    assert BAD_FILES[name][1] in ended.sentence
    assert work.digests() == before
    assert not work.run.exists()


@pytest.mark.parametrize("name", BAD_PIXELS)
def test_exposures_without_a_usable_pixel_alone_end_with_2(
    work: Workplace, command: Command, name: str
) -> None:
    folder = work.root / "bad"
    folder.mkdir()
    for good in ("exp000.fits", "exp001.fits"):
        (folder / good.removesuffix(".fits")).mkdir()
        write_bad(folder / good.removesuffix(".fits") / name, work.inputs / good)
    before = digests(folder)
    ended = command("run", work.config({"images.paths": [f"{folder}/*/*"]}), "--json")
    assert ended.code == 2
    assert {row["reason"] for row in ended.json["exposures"]} == {"all_masked"}
    assert digests(folder) == before


@pytest.mark.parametrize("name", BAD_PIXELS)
def test_one_good_exposure_beside_one_without_pixels_is_skipped(
    work: Workplace, command: Command, name: str
) -> None:
    write_bad(work.inputs / name, work.inputs / "exp001.fits")
    paths = [str(work.inputs / "exp000.fits"), str(work.inputs / name)]
    ended = command("run", work.config({"images.paths": paths}), "--json")
    assert ended.code == 1
    status = {row["id"]: (row["status"], row["reason"]) for row in ended.json["exposures"]}
    assert status[_id(name)] == ("failed", "all_masked")
    assert status["exp000"][0] == "skipped"


def test_one_image_is_skipped(work: Workplace, command: Command) -> None:
    before = work.digests()
    config = work.config({"images.paths": [str(work.inputs / "exp000.fits")]})
    ended = command("run", config, "--json")
    assert ended.code == 0
    (row,) = ended.json["exposures"]
    assert (row["status"], row["reason"]) == ("skipped", "single_exposure")
    assert "no other exposure" in row["message"]
    assert work.digests() == before
    assert command("run", config).code == 0
    assert command("check", config).code == 0


def test_images_that_do_not_overlap_are_skipped(work: Workplace, command: Command) -> None:
    for number, name in enumerate(GOOD):
        fits.setval(work.inputs / f"{name}.fits", "CRVAL2", value=2.2 + number)
    before = work.digests()
    ended = command("run", work.config(), "--json")
    assert ended.code == 0
    assert {row["reason"] for row in ended.json["exposures"]} == {"no_overlap"}
    messages = [row["message"] for row in ended.json["exposures"]]
    assert all("overlaps no other" in message for message in messages)
    assert "Dec +3.2" in messages[1] and "1 deg from that of the nearest, exp00" in messages[1]
    assert work.digests() == before


def test_a_constant_image_is_named(work: Workplace, command: Command) -> None:
    with fits.open(work.inputs / "exp001.fits", mode="update") as hdus:
        hdus[0].data[:] = 100.0
    ended = command("run", work.config(), "--json")
    assert ended.code == 1
    (row,) = (row for row in ended.json["exposures"] if row["status"] == "failed")
    assert row["message"].startswith("chip HDU 0 of exposure exp001: the sky's noise is 0.0")


def test_an_exposure_far_from_the_others_is_skipped_and_they_are_aligned(
    work: Workplace, command: Command
) -> None:
    fits.setval(work.inputs / "exp001.fits", "CRVAL2", value=12.2)
    ended = command("run", work.config(), "--json")
    assert ended.code == 0
    assert ended.json["counts"] == {"aligned": 2, "skipped": 1, "failed": 0}


def test_images_without_a_source_are_skipped(work: Workplace, command: Command) -> None:
    rng = np.random.default_rng(3)
    for name in GOOD:
        with fits.open(work.inputs / f"{name}.fits", mode="update") as hdus:
            hdus[0].data = rng.normal(100.0, 1.0, hdus[0].data.shape).astype(np.float32)
    ended = command("run", work.config(), "--json")
    assert ended.code == 0
    assert {row["reason"] for row in ended.json["exposures"]} == {"too_few_sources"}


def test_the_same_file_twice_is_refused(work: Workplace, command: Command) -> None:
    twice = str(work.inputs / "exp000.fits")
    ended = command("run", work.config({"images.paths": [f"{work.inputs}/*", twice]}))
    assert ended.code == 2
    assert "given twice" in ended.sentence and "exp000.fits" in ended.sentence


def test_a_link_to_a_file_is_the_same_file(work: Workplace, command: Command) -> None:
    (work.inputs / "link.fits").symlink_to(work.inputs / "exp000.fits")
    ended = command("run", work.config())
    assert ended.code == 2 and "given twice" in ended.sentence


def test_of_two_equal_files_the_second_is_skipped(work: Workplace, command: Command) -> None:
    shutil.copy(work.inputs / "exp001.fits", work.inputs / "exp003.fits")
    before = work.digests()
    ended = command("run", work.config(), "--json")
    assert ended.code == 0
    row = next(row for row in ended.json["exposures"] if row["id"] == "exp003")
    assert (row["status"], row["reason"]) == ("skipped", "duplicate")
    assert "exp001" in row["message"]
    assert ended.json["counts"] == {"aligned": 3, "skipped": 1, "failed": 0}
    assert work.digests() == before


def test_two_equal_files_alone_are_one_exposure(work: Workplace, command: Command) -> None:
    folder = work.root / "twins"
    folder.mkdir()
    for name in ("a.fits", "b.fits"):
        shutil.copy(work.inputs / "exp000.fits", folder / name)
    ended = command("run", work.config({"images.paths": [f"{folder}/*"]}), "--json")
    assert ended.code == 0
    reasons = {row["id"]: row["reason"] for row in ended.json["exposures"]}
    assert reasons == {"a": "single_exposure", "b": "duplicate"}


def test_a_copy_with_another_header_is_aligned_and_named_in_a_warning(
    work: Workplace, command: Command
) -> None:
    copy = work.inputs / "later.fits"
    shutil.copy(work.inputs / "exp001.fits", copy)
    fits.setval(copy, "CRPIX1", value=fits.getval(copy, "CRPIX1") + 1.0)
    config = work.config({"output.report": "html"})
    (said,) = (note for note in command("check", config, "--json").json["notes"] if "later" in note)
    assert "later and exp001" in said
    ended = command("run", config, "--json")
    assert (ended.code, ended.json["counts"]["aligned"]) == (0, 4)
    (warning,) = ended.json["warnings"]
    assert "later of exp001" in warning and "images.paths" in warning
    assert "later of exp001" in (work.run / "report.html").read_text(encoding="utf-8")
    again = command("run", config)  # as it was stored
    assert f"warning: {warning}" in again.out.splitlines()


@pytest.mark.parametrize(
    ("where", "code", "said"),
    [
        ("{root}/in/exp000.fits", 3, "cannot be used"),  # a file
        ("{root}/in/exp000.fits/run", 3, "cannot be used"),  # below a file
        ("/proc/alignsvc/run", 3, "cannot be used"),  # where nobody may write
        ("{root}/in", 2, "is not empty and holds no run"),
    ],
)
def test_a_run_directory_that_cannot_be_used_is_named(
    work: Workplace, command: Command, where: str, code: int, said: str
) -> None:
    before = work.digests()
    directory = where.format(root=work.root)
    config = work.config({"run.directory": directory})
    ended = command("run", config)
    assert ended.code == code
    assert said in ended.sentence and directory in ended.sentence
    for verb in (("check",), ("submit", "--dry-run")):
        also = command(verb[0], config, *verb[1:])
        assert (also.code, also.sentence) == (ended.code, ended.sentence)
    assert work.digests() == before


@pytest.mark.parametrize("verb", ["run", "check"])
@pytest.mark.parametrize("where", ["{root}/in/exp000.fits/run", "/proc/alignsvc/run"])
def test_a_run_directory_that_cannot_be_made_is_refused_before_any_header_is_read(
    work: Workplace, command: Command, verb: str, where: str
) -> None:
    directory = where.format(root=work.root)
    ended = command(verb, work.config({"run.directory": directory, "images.paths": ["none.fits"]}))
    assert ended.code == 3
    assert f"run.directory: {directory} cannot be used" in ended.sentence


def test_a_check_leaves_nothing_behind(work: Workplace, command: Command) -> None:
    config = work.config({"run.directory": f"{work.root}/deep/run"})
    before = sorted(work.root.rglob("*"))
    assert command("check", config).code == 0
    assert sorted(work.root.rglob("*")) == before


BAD_SETTINGS: list[tuple[str, object, str]] = [
    ("alignment.eps_shift", 0, "alignment.eps_shift"),
    ("alignment.eps_shift", -0.1, "alignment.eps_shift"),
    ("alignment.update", "otf", "solver 'independent'"),
    ("alignment.geometri", "shift", "did you mean 'geometry'?"),
    ("imags.paths", "x", "did you mean 'images'?"),
    ("detection.filters", ["brightness > 3"], "no column 'brightness'"),
    ("detection.filters", ["snr ist groß"], "not understood"),
    ("detection.catalog", "/nowhere/stars.ecsv", "the file does not exist"),
    (
        "detection.mask",
        "/nowhere/mask.fits",
        "detection.mask: /nowhere/mask.fits: the file does not",
    ),
    ("reference.catalog", "/nowhere/gaia.fits", "reference.catalog: catalogue /nowhere/gaia.fits"),
    ("reference.image", "exp007", "reference.image: 'exp007'"),
    ("alignment.tangent_plane", "exp007", "alignment.tangent_plane: 'exp007'"),
    ("alignment.method", "correlation", "no 'correlation'"),
    ("alignment.method", {"correlation": "fft"}, "fft"),
    ("alignment.method", {"name": "model", "source": "airy"}, "moffat, gaussian, sersic, auto"),
    ("alignment.method", {"name": "model", "refine": True}, "model has no setting 'refine'"),
    ("alignment.method", {"name": "both", "moffat": 2}, "both has no setting 'moffat'"),
    ("mosaic.resampler", {"kernel": "turbo", "pixfrac": "wide"}, "pixfrac"),
    ("mosaic.resampler", "nearst", "no resampler is named 'nearst'"),
    ("images.sky", "flat", "flat"),
    ("images.group_by", "OBSID", "OBSID"),
    ("images.chip_offsets", "some", "images.chip_offsets"),
    ("images.paths", [], "images.paths"),
    ("images.paths", ["/nowhere/*.fits"], "matches no file"),
    ("images.paths", ["/"], "is a folder"),
    ("cluster.backend", "cloud", "no cluster backend is named 'cloud'"),
    ("cluster.workers", 3, "has no setting 'workers'"),  # of the serial backend
    ("cluster.backend", "slurm", "setting workers is required"),
    ("cluster.backend", "ssh", "setting hosts is required"),
    ("images.paths", ["ftp://host/a.fits"], "ftp://"),
]


@pytest.mark.parametrize(("key", "value", "said"), BAD_SETTINGS)
@pytest.mark.parametrize("verb", ["run", "check"])
def test_a_bad_setting_ends_with_2_before_anything_is_done(
    work: Workplace, command: Command, verb: str, key: str, value: object, said: str
) -> None:
    before = work.digests()
    ended = command(verb, work.config({key: value}))
    assert ended.code == 2
    assert said in ended.sentence
    assert work.digests() == before
    assert not work.run.exists()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "'images' is required"),
        (b"images: [", "not valid YAML"),
        (b"images: {paths: ['a'], paths: ['b']}", "given twice"),
        (b"- a", "holds a list"),
        (b"\xff\xfe\x00", "not text in UTF-8"),
        (b"a: &a [*a]", "unknown key 'a'"),
    ],
)
def test_a_file_that_is_no_configuration_is_named(
    tmp_path: Path, command: Command, content: bytes, said: str
) -> None:
    path = tmp_path / "my config.yaml"
    path.write_bytes(content)
    ended = command("run", path)
    assert ended.code == 2
    assert said in ended.sentence and "my config.yaml" in ended.sentence
