"""New exposures join a finished run: `run CONFIG --extend RUN`, with and without `--freeze`."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from astropy.io import fits
from durable_runs import content, stored_checksum, tiles
from extended_runs import make_strip, tasks_done
from extended_runs import write_config as write_any_config
from workplaces import Command, digests

from alignsvc import api
from alignsvc.domain.outcome import ExitCode, Status
from alignsvc.domain.result import ExposureResult
from alignsvc.errors import ConfigError
from alignsvc.io.corrections_table import read_corrections
from alignsvc.reasons import FailureKind
from alignsvc.run.planning.kept_tiles import Role
from alignsvc.run.planning.plan import Plan
from alignsvc.run.records import events
from alignsvc.run.records.result import RunResult


def write_config(path: Path, files: Sequence[Path], **sections: dict[str, Any]) -> Path:
    """Write the configuration of a run of two passes."""
    quick = {"eps_shift": 0.2}
    return write_any_config(path, files, alignment=quick, **sections)


@dataclass(frozen=True)
class Nights:
    """A strip of exposures, and a finished run of all but the last."""

    root: Path
    files: tuple[Path, ...]

    @property
    def run(self) -> Path:
        return self.root / "sofar"

    @property
    def new(self) -> Path:
        return self.files[-1]


@dataclass(frozen=True)
class Tonight:
    """A frozen extension by one exposure, and the earlier run's bytes before it."""

    nights: Nights
    result: RunResult
    bytes_before: dict[str, str]

    @property
    def run(self) -> Path:
        return self.result.directory


@pytest.fixture(scope="module")
def nights(tmp_path_factory: pytest.TempPathFactory) -> Nights:
    root = tmp_path_factory.mktemp("nights")
    files = make_strip(root / "sky")
    api.align(write_config(root / "sofar.yaml", files[:-1]))
    return Nights(root, tuple(files))


@pytest.fixture(scope="module")
def tonight(nights: Nights) -> Tonight:
    before = digests(nights.run)
    config = write_config(nights.root / "tonight.yaml", [nights.new])
    return Tonight(nights, api.align(config, extend=nights.run, freeze=True), before)


def rows_of(run: Path) -> dict[str, ExposureResult]:
    return {row.id: row for row in read_corrections(run / "corrections.ecsv")}


def numbers(row: ExposureResult) -> tuple[bytes, bytes]:
    assert row.correction is not None
    return row.correction.parameters.tobytes(), row.correction.covariance.tobytes()


def checked(nights: Nights, *files: Path, freeze: bool = True, **mosaic: object) -> Plan:
    """Return the plan of an extension by some files, by the last one if none is named."""
    path = nights.root / "checked.yaml"
    config = write_config(path, files or [nights.new], mosaic=mosaic)
    return api.check(config, extend=nights.run, freeze=freeze)


def test_frozen_corrections_stay_bit_for_bit_and_their_errors_with_them(tonight: Tonight) -> None:
    before, after = rows_of(tonight.nights.run), rows_of(tonight.run)
    assert len(before) == 5
    assert {name: numbers(after[name]) for name in before} == {
        name: numbers(row) for name, row in before.items()
    }
    assert all(after[name].is_reference for name in before)


def test_the_new_exposure_comes_to_the_frozen_ones(tonight: Tonight) -> None:
    new = rows_of(tonight.run)["exp005"]
    assert new.status is Status.ALIGNED
    assert not new.is_reference
    found = api.evaluate(tonight.run, tonight.nights.root / "sky")
    assert found["n_aligned"] == 6
    assert found["false_success"] == []
    assert float(str(found["local_rms_px"])) < 0.1 * float(str(found["before_local_rms_px"]))


def test_only_what_the_new_exposure_touches_is_read_and_made_again(tonight: Tonight) -> None:
    """Two of five old exposures lie apart: no task knows them, nor half of the tiles."""
    passes = len(tonight.result.history)
    done = tasks_done(tonight.run)
    plan = checked(tonight.nights)
    assert [one.id for one in plan.idle] == ["exp000", "exp001"]
    (grid,) = plan.grids
    made = len(plan.tiles_made(grid))
    assert 0 < made < len(tuple(grid.tiles()))
    assert done["detect"] == passes * made
    assert done["merge"] == (passes + 1) * made
    seen = [one for one in plan.exposures if one.role is not Role.PLACED]
    assert done["measure"] == passes * len(seen) < passes * 6
    # The frozen ones once, the new one with each of its corrections.
    assert done["resample"] <= len(plan.exposures) + 2 * passes + 2


def test_the_earlier_run_is_only_read(tonight: Tonight) -> None:
    assert digests(tonight.nights.run) == tonight.bytes_before


def test_tiles_that_nothing_touches_are_the_earlier_ones(tonight: Tonight) -> None:
    plan = checked(tonight.nights)
    before, after = tiles(tonight.nights.run), tiles(tonight.run)
    by_tile = [
        {name.split("/", 1)[1]: sum_ for name, sum_ in one.items()} for one in (before, after)
    ]
    assert plan.kept
    for tile, kept in plan.kept.items():
        assert by_tile[1][str(tile)] == by_tile[0][str(kept.there)]
        assert stored_checksum(tonight.run, tile) == kept.checksum
    assert not set(by_tile[1].values()) <= set(by_tile[0].values())


def test_status_and_report_say_what_was_extended(tonight: Tonight, command: Command) -> None:
    said = command("status", tonight.run)
    assert f"extends {tonight.nights.run}: 5 old (frozen), 1 new" in said.out
    assert command("status", tonight.run, "--json").json["extends"]["old"] == 5
    assert api.report(tonight.run)["extends"]["not_read"] == 2
    assert any("5 old (frozen, 2 of them not read), 1 new" in note for note in tonight.result.notes)


def test_a_killed_extension_goes_on_without_the_earlier_run_bit_for_bit(tonight: Tonight) -> None:
    nights = tonight.nights
    config = write_config(nights.root / "killed.yaml", [nights.new])

    def die(event: events.Event) -> None:
        if isinstance(event, events.PassSolved):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        api.align(config, api.RunOptions(listener=die), extend=nights.run, freeze=True)
    away = nights.run.rename(nights.root / "away")
    try:
        result = api.resume(nights.root / "killed")
        assert content(nights.root / "killed") == content(tonight.run)
        again = api.align(config, extend=nights.run, freeze=True)
        assert [numbers(row) for row in again.corrections] == [
            numbers(row) for row in result.corrections
        ]
    finally:
        away.rename(nights.run)


def test_the_same_extension_again_is_the_finished_run_and_another_is_refused(
    tonight: Tonight,
) -> None:
    nights = tonight.nights
    config = write_config(nights.root / "tonight.yaml", [nights.new])
    again = api.align(config, extend=nights.run, freeze=True)
    assert [numbers(row) for row in again.corrections] == [
        numbers(row) for row in tonight.result.corrections
    ]
    with pytest.raises(ConfigError, match=r"holds another run: setting run\.extend differs"):
        api.align(config, extend=nights.run)


def test_a_configuration_may_name_all_files_or_the_new_ones(nights: Nights) -> None:
    some, whole = checked(nights), checked(nights, *nights.files)
    assert [header.ref.id for header in some.headers] == [h.ref.id for h in whole.headers]
    assert some.identity == whole.identity


@contextmanager
def altered(file: Path) -> Iterator[Path]:
    """Let a test do with a file what it likes."""
    kept = file.read_bytes()
    try:
        yield file
    finally:
        file.write_bytes(kept)


def test_an_old_file_that_is_gone_is_named_and_its_tiles_are_made_again(nights: Nights) -> None:
    with altered(nights.files[0]) as file:
        file.unlink()
        plan = checked(nights)
    (lost,) = plan.ended
    assert (lost.exposure, lost.reason) == ("exp000", FailureKind.MISSING.value)
    assert "no file is that one any more" in lost.message
    assert plan.exit_code is ExitCode.SOME_FAILED
    assert "exp001" in [one.id for one in plan.exposures]  # it was idle, and shares its tiles


def test_an_old_file_that_changed_is_left_out_unless_it_is_named(nights: Nights) -> None:
    with altered(nights.files[0]) as file:
        fits.setval(file, "OBJECT", value="another")
        (lost,) = checked(nights).ended
        named = checked(nights, file, nights.new)
    assert lost.reason == FailureKind.CHANGED.value
    assert "changed since" in lost.message
    assert not named.ended
    assert [one.id for one in named.moving] == ["exp000", "exp005"]
    assert any("exp000" in note and "changed since" in note for note in named.notes)


def test_files_are_known_wherever_they_lie_by_now(nights: Nights) -> None:
    """Their ids change with the folder that they have in common."""
    moved = (nights.root / "sky").rename(nights.root / "moved")
    try:
        first = moved / "first"
        first.mkdir()
        (moved / "exp000.fits").rename(first / "exp000.fits")
        plan = checked(nights, *sorted(moved.rglob("*.fits")))
    finally:
        (first / "exp000.fits").rename(moved / "exp000.fits")
        first.rmdir()
        moved.rename(nights.root / "sky")
    assert "first/exp000" in [one.id for one in plan.idle]
    assert [one.id for one in plan.moving] == ["exp005"]
    assert not plan.ended


def test_what_cannot_be_extended_is_refused_with_a_sentence(nights: Nights, tmp_path: Path) -> None:
    config = write_config(tmp_path / "tonight.yaml", [nights.new])
    with pytest.raises(ConfigError, match="is not a run directory"):
        api.check(config, extend=tmp_path)
    with pytest.raises(ConfigError, match="name the finished run"):
        api.check(config, freeze=True)
    with pytest.raises(ConfigError, match=r"mosaic\.tile_shape differs"):
        checked(nights, tile_shape=[64, 64])
    with pytest.raises(ConfigError, match="nothing is left to align"):
        checked(nights, nights.files[1])
    own = write_config(tmp_path / "own.yaml", [nights.new], run={"directory": str(nights.run)})
    with pytest.raises(ConfigError, match="the run that is extended, and that is only read"):
        api.check(own, extend=nights.run)
    begun = shutil.copytree(nights.run, tmp_path / "begun")
    last = max((begun / "journal").iterdir())
    last.unlink()
    with pytest.raises(ConfigError, match="has not ended; `alignsvc resume"):
        api.check(config, extend=begun)


def test_a_reference_image_must_be_a_frozen_exposure(nights: Nights) -> None:
    path = nights.root / "checked.yaml"
    for name, is_good in (("exp001", True), ("exp005", False)):
        config = write_config(path, [nights.new], reference={"image": name})
        if is_good:
            assert api.check(config, extend=nights.run, freeze=True).reference == name
        else:
            with pytest.raises(ConfigError, match="exposures of the earlier run hold the frame"):
                api.check(config, extend=nights.run, freeze=True)


def test_check_predicts_an_extension(nights: Nights, command: Command) -> None:
    config = write_config(nights.root / "checked.yaml", [nights.new])
    said = command("check", config, "--extend", nights.run, "--freeze")
    assert said.code == 0
    assert "1 exposure to align" in said.out
    assert "kept)" in said.out
    found = command("check", config, "--extend", nights.run, "--freeze", "--json").json
    assert found["extends"] == {
        **{"run": str(nights.run), "frozen": True},
        **{"old": 5, "new": 1, "not_read": 2},
    }
    free = command("check", config, "--extend", nights.run, "--json").json
    assert found["tasks_per_pass"] < free["tasks_per_pass"]


@pytest.mark.slow
def test_a_damaged_mosaic_of_an_extension_is_made_again_with_the_tiles_that_it_keeps(
    tonight: Tonight, tmp_path: Path
) -> None:
    config = write_config(tmp_path / "damaged.yaml", [tonight.nights.new])
    damaged: list[Path] = []

    def damage(event: events.Event) -> None:
        if isinstance(event, events.StageStarted) and event.stage == "measure" and not damaged:
            store = tmp_path / "damaged" / "mosaic.zarr"
            damaged.extend(sorted(store.glob("generation-000[1-9]/c0/weight/c/*/*")))
            for chunk in damaged:
                content = chunk.read_bytes()
                chunk.unlink()  # tiles of two generations may be one file
                chunk.write_bytes(content[:-9] + bytes(9))

    options = api.RunOptions(listener=damage)
    run = api.align(config, options, extend=tonight.nights.run, freeze=True).directory
    assert len(damaged) > len(checked(tonight.nights).kept) > 0
    assert tiles(run) == tiles(tonight.run)
    found, wanted = rows_of(run), rows_of(tonight.run)
    assert {name: numbers(row) for name, row in found.items()} == {
        name: numbers(row) for name, row in wanted.items()
    }
