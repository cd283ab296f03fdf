"""A run that is killed, anywhere, and resumed gives bit for bit what it would have given."""

from __future__ import annotations

import shutil
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from durable_runs import LEFT, content, make_sky, names_left, tell, write_config
from threadpoolctl import threadpool_limits

from alignsvc import api
from alignsvc.config.load import dump_config, load_config
from alignsvc.domain.correction import Correction
from alignsvc.domain.outcome import Convergence, ExitCode, Status, TaskOutcome
from alignsvc.domain.result import FitQuality
from alignsvc.engine.base import RunContext
from alignsvc.engine.serial import SerialExecutor
from alignsvc.errors import ConfigError, ResourceError, TransientError
from alignsvc.io.journal_store import Journal
from alignsvc.io.locations import RunLocations
from alignsvc.io.mosaic_store import MosaicStore
from alignsvc.reasons import FailureKind
from alignsvc.run.driving import service
from alignsvc.run.loop import passes
from alignsvc.run.loop.passes import begin_pass, run_pass
from alignsvc.run.planning.making import make_plan
from alignsvc.run.records import events, stored
from alignsvc.run.records.state import fold
from alignsvc.run.stages.loop_state import LoopState, PassSettings
from alignsvc.run.stages.mosaicking import Mosaic
from alignsvc.run.stages.running import ReuseCount, Tools
from alignsvc.run.stages.solved_table import restored
from alignsvc.tasks.base import failed
from alignsvc.tasks.merge import MergeTask

ON_THE_FLY = {"update": "otf", "solver": "independent"}


@pytest.fixture(scope="module")
def sky(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_sky(tmp_path_factory.mktemp("resume") / "sky")


def moment_after(told: dict[str, Any], kind: str, nth: int = 0) -> int:
    """Return a moment soon after an event of the journal."""
    return int([moment for name, moment in told["events"] if name == kind][nth]) + 1


def killed_and_resumed(
    sky: Path, folder: Path, kills: list[list[int]], **sections: dict[str, Any]
) -> list[tuple[dict[str, Any], Path]]:
    configs = [write_config(folder / f"run{n}.yaml", sky, **sections) for n in range(len(kills))]
    stories = [
        {"config": str(config), "kills": each} for config, each in zip(configs, kills, strict=True)
    ]
    return [
        (told, config.with_suffix("")) for told, config in zip(tell(stories), configs, strict=True)
    ]


def require_the_same(
    whole: tuple[dict[str, Any], Path], others: list[tuple[dict[str, Any], Path]]
) -> None:
    """Each life but the last was killed; bits, tasks and names are those of the unbroken run."""
    wanted = content(whole[1])
    for told, run in others:
        *killed, last = told["codes"]
        assert set(killed) == {9}
        assert last == whole[0]["codes"][-1]
        assert content(run) == wanted
        # What a kill costs: the one task that was in flight.
        assert len(told["tasks"]) <= len(whole[0]["tasks"]) + len(killed)
        assert {path.name for path in run.iterdir()} == LEFT
        assert names_left(run) == names_left(whole[1])


def test_a_kill_anywhere_changes_no_bit(sky: Path, tmp_path: Path) -> None:
    whole = killed_and_resumed(sky, tmp_path / "whole", [[]])[0]
    told = whole[0]
    kills = [
        [moment_after(told, "sources_found"), 200],
        [moment_after(told, "published", 2)],
    ]
    require_the_same(whole, killed_and_resumed(sky, tmp_path / "killed", kills))


def test_a_kill_while_exposures_are_compared_changes_no_bit(tmp_path: Path) -> None:
    """One header is far off: where the loop begins is found once, and kept."""
    sky = make_sky(tmp_path / "sky", gross=[{"exposure": 1, "shift_px": [40.0, -25.0]}])
    whole = killed_and_resumed(sky, tmp_path / "whole", [[]])[0]
    assert list((whole[1] / "tables").glob("start.npz"))
    told = whole[0]
    before = moment_after(told, "bootstrapped") - 4  # some lists, or some pairs, are done
    kills = [[before - 12, 30], [before, moment_after(told, "bootstrapped"), 60]]
    require_the_same(whole, killed_and_resumed(sky, tmp_path / "killed", kills))


@pytest.mark.slow
@pytest.mark.parametrize("alignment", [{}, ON_THE_FLY], ids=["batch", "otf"])
def test_kills_at_many_moments_change_no_bit(
    sky: Path, tmp_path: Path, alignment: dict[str, Any]
) -> None:
    sections = {"alignment": {"max_iterations": [2, 1], **alignment}}
    whole = killed_and_resumed(sky, tmp_path / "whole", [[]], **sections)[0]
    moments = np.random.default_rng(7).integers(0, whole[0]["moments"], 30)
    kills = [[int(moment)] for moment in sorted(moments)]
    require_the_same(whole, killed_and_resumed(sky, tmp_path / "killed", kills, **sections))


@pytest.mark.slow
def test_on_the_fly_a_kill_within_a_pass_changes_no_bit(sky: Path, tmp_path: Path) -> None:
    sections = {"alignment": {"max_iterations": [1, 1], **ON_THE_FLY}}
    whole = killed_and_resumed(sky, tmp_path / "whole", [[]], **sections)[0]
    told = whole[0]
    # After the first of three turns; and within the second, its mosaic published.
    kills = [[moment_after(told, "step_solved") + 30], [moment_after(told, "published", 1) + 20]]
    require_the_same(whole, killed_and_resumed(sky, tmp_path / "killed", kills, **sections))


@pytest.mark.slow
def test_a_kill_while_cosmic_rays_are_rejected_changes_no_bit(tmp_path: Path) -> None:
    sky = make_sky(
        tmp_path / "sky", rays=300.0
    )  # so few that they are laid over, but for one exposure
    sections = {
        "mosaic": {"reject_cosmic_rays": True},
        "alignment": {"max_iterations": [2, 2]},
    }
    whole = killed_and_resumed(sky, tmp_path / "whole", [[]], **sections)[0]
    told = whole[0]
    found = moment_after(told, "rays_found", 1)
    # On the way to the rays of pass 2; right after; and with the mosaic without them published.
    kills = [[found - 12], [found], [moment_after(told, "published", 3) + 20]]
    require_the_same(whole, killed_and_resumed(sky, tmp_path / "killed", kills, **sections))


def test_a_kill_while_headers_are_written_in_place_changes_no_bit(
    sky: Path, tmp_path: Path
) -> None:
    told, written = [], []
    for name in ("whole", "killed"):
        own = shutil.copytree(sky, tmp_path / name / "sky")
        config = write_config(
            tmp_path / name / "run.yaml",
            own,
            output={"wcs": "in_place"},
            alignment={"max_iterations": [1, 1]},
        )
        # The first header is written, and perhaps not yet in the journal.
        kills = [moment_after(told[0], "header_applied") - 2] if told else []
        told += tell([{"config": str(config), "kills": kills}])
        written.append({file.name: file.read_bytes() for file in own.glob("*.fits")})
    assert told[1]["codes"] == [9, told[0]["codes"][-1]]
    assert written[0] == written[1]
    assert written[0] != {file.name: file.read_bytes() for file in sky.glob("*.fits")}


def tools_for(config: Path) -> Tools:
    plan = make_plan(load_config(config))
    run = config.with_suffix("")
    run.mkdir()
    objects, reuse = RunLocations(run).objects, ReuseCount()
    executor = SerialExecutor(RunContext(objects, plan.identity[:16], reuse))
    book = Journal(objects, lambda: 0.0)
    return Tools(run, plan, executor, book, events.silent, lambda: None, reuse)


def plain(value: Any) -> Any:
    """Return a state as values that can be compared bit for bit."""
    if isinstance(value, Correction):
        numbers = value.parameters.tobytes(), value.covariance.tobytes()
        return (value.plane, value.geometry, *numbers)
    if isinstance(value, LoopState | Mosaic | FitQuality):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    if hasattr(value, "items"):
        return {key: plain(one) for key, one in value.items()}
    return value


@pytest.mark.parametrize(
    ("alignment", "rejected"),
    [
        pytest.param({}, True, id="batch-rays-rejected"),
        pytest.param({}, False, id="batch-rays-kept", marks=pytest.mark.slow),
        pytest.param({"geometry": "auto"}, True, id="auto-rays-rejected", marks=pytest.mark.slow),
        pytest.param({"geometry": "auto"}, False, id="auto-rays-kept"),
        pytest.param(ON_THE_FLY, True, id="otf-rays-rejected"),
        pytest.param(ON_THE_FLY, False, id="otf-rays-kept", marks=pytest.mark.slow),
    ],
)
def test_the_journal_leads_to_the_state_that_the_driver_had(
    sky: Path, tmp_path: Path, alignment: dict[str, Any], rejected: bool
) -> None:
    mosaic = {"reject_cosmic_rays": rejected}
    tools = tools_for(write_config(tmp_path / "run.yaml", sky, alignment=alignment, mosaic=mosaic))
    state = restored(tools, fold(()).settled)
    with threadpool_limits(limits=1):
        for settings in (PassSettings(1, is_full=True), PassSettings(2, is_full=False)):
            state = run_pass(tools, settings, begin_pass(tools, settings, state))
            again = restored(tools, fold(tools.journal.events()).settled)
            kept, found = plain(state), plain(again)
            # The start of a pass counts within it only; its covariance is not needed then.
            del kept["pass_start"], found["pass_start"]
            assert found == kept


def test_what_was_not_settled_is_forgotten_by_the_next_driver(
    sky: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An exposure whose worker died is out of that attempt's pass, not of the run."""
    config = write_config(tmp_path / "run.yaml", sky)
    solve = passes.solve

    run_stage = passes.run_stage

    def lose_one(tools: Tools, stage: str, number: int, tasks: Any) -> tuple[TaskOutcome, ...]:
        outcomes = run_stage(tools, stage, number, tasks)
        lost = failed(outcomes[0].key, FailureKind.WORKER_LOST, "its worker died")
        return (lost, *outcomes[1:])

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(passes, "run_stage", lose_one)
    monkeypatch.setattr(passes, "solve", die)
    with pytest.raises(KeyboardInterrupt):
        api.align(config)
    assert len(stored.state_of(config.with_suffix("")).ended) == 1
    monkeypatch.setattr(passes, "run_stage", run_stage)
    monkeypatch.setattr(passes, "solve", solve)
    result = api.resume(config.with_suffix(""))
    assert [one.status for one in result.corrections] == [Status.ALIGNED] * 3
    assert stored.state_of(config.with_suffix("")).ended == {}


def test_the_users_no_is_remembered(
    sky: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = write_config(tmp_path / "run.yaml", sky)
    finish = service.finish

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(service, "finish", die)
    with pytest.raises(KeyboardInterrupt):
        api.align(config, api.RunOptions(go_on=lambda solved: False))
    monkeypatch.setattr(service, "finish", finish)
    result = api.resume(config.with_suffix(""))
    assert len(result.history) == 1
    assert result.verdict is Convergence.MAX_ITERATIONS
    again = api.resume(config.with_suffix(""))
    assert (again.verdict, again.history) == (result.verdict, result.history)


@pytest.mark.parametrize("what", ["deleted", "changed"])
def test_a_file_that_goes_between_passes_fails_alone(tmp_path: Path, what: str) -> None:
    own = make_sky(tmp_path / "sky", count=4)
    lost = own / "exp002.fits"

    def lose(event: events.Event) -> None:
        if isinstance(event, events.PassSolved) and event.pass_number == 1:
            if what == "deleted":
                lost.unlink()
            else:
                lost.write_bytes((own / "exp001.fits").read_bytes())

    # So coarse that the second pass converges.
    config = write_config(tmp_path / "run.yaml", own, alignment={"eps_shift": 0.5})
    result = api.align(config, api.RunOptions(listener=lose))
    statuses = {one.id: (one.status, one.reason) for one in result.corrections}
    kind = FailureKind.MISSING if what == "deleted" else FailureKind.CHANGED
    assert statuses.pop("exp002") == (Status.FAILED, kind.value)
    assert set(statuses.values()) == {(Status.ALIGNED, "")}
    assert result.exit_code == ExitCode.SOME_FAILED
    assert [one.n_solved for one in result.history] == [4, 3]


def test_a_full_disk_stops_the_run_and_resume_goes_on(
    sky: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = api.align(write_config(tmp_path / "whole.yaml", sky))
    config = write_config(tmp_path / "run.yaml", sky)
    write = MosaicStore.write_tile

    def full(store: MosaicStore, generation: int, *rest: Any) -> str:
        if generation > 1:  # where no ray was found the second one links the first one's tiles
            raise ResourceError("the disk is full")
        return write(store, generation, *rest)

    monkeypatch.setattr(MosaicStore, "write_tile", full)
    with pytest.raises(ResourceError, match="full"):
        api.align(config)
    monkeypatch.setattr(MosaicStore, "write_tile", write)
    assert content(api.resume(config.with_suffix("")).directory) == content(whole.directory)


def test_a_failing_merge_is_tried_again_then_stops_the_run(
    sky: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = write_config(tmp_path / "run.yaml", sky, alignment={"max_iterations": [1, 1]})
    merge, failures = MergeTask.__call__, [2]

    def flaky(task: MergeTask) -> TaskOutcome:
        if failures[0] and str(task.tile).endswith("0"):
            failures[0] -= 1
            raise ValueError("cosmic")
        return merge(task)

    monkeypatch.setattr(MergeTask, "__call__", flaky)
    result = api.align(config)
    assert failures == [0]
    shutil.rmtree(result.directory)
    failures[0] = 1000
    with pytest.raises(TransientError, match=r"merge of .* failed 3 times.*resume"):
        api.align(config)
    failures[0] = 0
    again = api.resume(result.directory)
    assert [row.passes for row in again.corrections] == [1, 1, 1]


def test_a_receipt_for_a_tile_that_another_driver_made_differently_does_not_count(
    sky: Path, tmp_path: Path
) -> None:
    tools = tools_for(write_config(tmp_path / "run.yaml", sky))
    settings = PassSettings(1, is_full=True)
    state = begin_pass(tools, settings, restored(tools, fold(()).settled))
    state = run_pass(tools, settings, state)
    assert state.mosaic is not None
    grid, store = tools.plan.grids[0], MosaicStore(tools.run / "mosaic.zarr")
    tile, parts = next((tile, parts) for tile, parts in state.mosaic.parts.items() if parts)
    task = MergeTask(tools.run, grid, tile, parts, state.mosaic.generation)
    reused = tools.reuse.count
    outcome = next(iter(tools.executor.run([task])))
    assert tools.reuse.count == reused + 1
    assert task.product_is_whole(outcome)
    store.write_tile(
        state.mosaic.generation,
        tile,
        store.read_tile(state.mosaic.generation, tile).cut(grid.tile_box(tile)),
    )
    assert task.product_is_whole(outcome)
    other = MergeTask(tools.run, grid, tile, parts[:1], state.mosaic.generation)
    next(iter(tools.executor.run([other])))
    assert not task.product_is_whole(outcome)


def test_a_driver_that_died_before_the_first_event_leaves_room_for_any_other(
    sky: Path, tmp_path: Path
) -> None:
    """Found by the chaos suite: the second driver had another scheduler, thus other settings."""
    file = write_config(tmp_path / "run.yaml", sky)
    run = file.with_suffix("")
    dead = load_config(file, ("cluster.backend=local", "cluster.workers=1"))
    run.mkdir()
    (run / "config.yaml").write_text(dump_config(dead))
    (run / "lease").mkdir()
    assert service.ready(load_config(file, ()), service.RunOptions()).is_usable
    (run / "config.yaml").write_text("images: {paths: [somebody's own]}")
    with pytest.raises(ConfigError, match="is not empty and holds no run"):
        service.ready(load_config(file, ()), service.RunOptions())
