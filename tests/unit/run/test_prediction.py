"""What a run needs is known before it runs; what cannot fit is refused by what to set."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alignsvc.config.load import parse_config
from alignsvc.domain.exposure import ExposureRef
from alignsvc.engine.base import Executor, RunContext
from alignsvc.engine.clusters import cluster_backend
from alignsvc.engine.clusters.serial import SerialBackend
from alignsvc.errors import ConfigError
from alignsvc.run.needs import task_needs
from alignsvc.run.needs.prediction import Counts, Prediction, predicted
from alignsvc.run.needs.task_needs import (
    MEASURED_BY_MODEL,
    MEASURED_PACES,
    OF_EXPOSURES,
    OF_TILES,
    Pace,
    Sizes,
    TaskNeeds,
)
from alignsvc.run.needs.worker_memory import require_fits, unknown_memory
from alignsvc.run.planning.making import make_plan
from alignsvc.run.planning.plan import Plan
from alignsvc.run.report.needs import prediction_json, prediction_lines
from alignsvc.simulation.reading_settings import sky_settings
from alignsvc.simulation.simulate import simulate_to
from alignsvc.tasks.inputs_ahead import MOST_AHEAD_BYTES


def sky(folder: Path, count: int, size: int) -> Path:
    layout = {"name": "stack", "count": count, "ra": 150.1, "dec": 2.2}
    camera = {"shape": [size, size], "scale_arcsec": 0.2}
    stars = {"density": 1.0}
    simulate_to(folder, sky_settings({"layout": layout, "camera": camera, "stars": stars}))
    return folder


@pytest.fixture(scope="module")
def skies(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[int, int], Path]:
    root = tmp_path_factory.mktemp("skies")
    return {key: sky(root / f"{key[0]}-{key[1]}", *key) for key in ((2, 64), (6, 64), (2, 256))}


def plan_of(inputs: Path, *overrides: str) -> Plan:
    text = f"{{images: {{paths: ['{inputs}/*.fits']}}, cluster: {{backend: serial}}}}"
    return make_plan(parse_config(text, "x.yaml", overrides))


def needs(inputs: Path, *overrides: str) -> Prediction:
    return predicted(plan_of(inputs, *overrides))


def test_memory_grows_with_exposures_and_tiles_and_not_with_the_set(
    skies: dict[tuple[int, int], Path],
) -> None:
    few, many, large = (needs(skies[key]) for key in ((2, 64), (6, 64), (2, 256)))
    assert many.memory_bytes == pytest.approx(few.memory_bytes, rel=0.01)
    assert large.memory_bytes > few.memory_bytes
    assert needs(skies[2, 256], "mosaic.tile_shape=[64, 64]").memory_bytes < large.memory_bytes


def test_tasks_and_disk_grow_with_the_set(skies: dict[tuple[int, int], Path]) -> None:
    few, many = needs(skies[2, 64]), needs(skies[6, 64])
    assert many.n_tasks > few.n_tasks
    assert many.contribution_bytes == pytest.approx(3 * few.contribution_bytes, rel=0.1)


def test_small_tiles_are_many_tasks(skies: dict[tuple[int, int], Path]) -> None:
    assert needs(skies[2, 256], "mosaic.tile_shape=[64, 64]").n_tasks > needs(skies[2, 256]).n_tasks


def test_a_full_pass_counts_the_mosaic_without_rays(skies: dict[tuple[int, int], Path]) -> None:
    """Two exposures, one tile: with rays each is drizzled twice, and searched in between."""
    never = {one.stage: one.n_tasks for one in
             needs(skies[2, 64], "mosaic.reject_cosmic_rays=false").stages}  # fmt: skip
    always = {one.stage: one.n_tasks for one in
              needs(skies[2, 64], "mosaic.reject_cosmic_rays=true").stages}  # fmt: skip
    assert never["resample"] == never["measure"] == 2
    assert "reject" not in never
    assert (always["resample"], always["reject"], always["merge"]) == (4, 2, 2)


def test_runs_by_models_tell_sources_tile_by_tile(skies: dict[tuple[int, int], Path]) -> None:
    """In each full pass; a run by both methods does so once, and measures all twice at its end."""
    by_model = needs(skies[2, 64], "alignment.method=model")
    both = needs(skies[2, 64], "alignment.method=both")
    plain = needs(skies[2, 64])
    assert by_model.n_tasks == plain.n_tasks + 2  # they are told by a background, asked for again
    assert both.n_tasks == plain.n_tasks
    assert both.n_once == plain.n_once + 2 + 2 * 2
    told = next(one for one in by_model.stages if one.stage == "tell")
    assert told.memory_bytes > next(
        one.memory_bytes for one in by_model.stages if one.stage == "detect"
    )


def test_what_is_not_written_takes_no_disk(skies: dict[tuple[int, int], Path]) -> None:
    lean = needs(skies[2, 256], "output.wcs=none", "output.mosaic=none")
    assert lean.product_bytes < needs(skies[2, 256]).product_bytes


SIZES = st.builds(Sizes, *(st.floats(0.0, 1e9) for _ in fields(Sizes)))
NEEDS = st.sampled_from([*OF_EXPOSURES.values(), *OF_TILES.values(), MEASURED_BY_MODEL])


@given(NEEDS, SIZES, st.sampled_from([one.name for one in fields(Sizes)]), st.floats(1.0, 10.0))
def test_larger_images_never_need_less(
    need: TaskNeeds, sizes: Sizes, name: str, factor: float
) -> None:
    larger = replace(sizes, **{name: factor * getattr(sizes, name)})
    assert need.memory_bytes(larger) >= need.memory_bytes(sizes) >= need.libraries
    assert need.seconds(larger) >= need.seconds(sizes) > 0.0


def test_each_pace_that_was_measured_is_somebodys() -> None:
    needs = [*OF_EXPOSURES.values(), *OF_TILES.values(), MEASURED_BY_MODEL]
    assert sorted(need.pace for need in needs) == sorted(MEASURED_PACES)


def test_seconds_are_those_measured_with_a_margin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(task_needs, "MEASURED_PACES", {"merge": Pace(0.1, 2.0)})
    need = TaskNeeds("merge")
    assert need.seconds(Sizes(cut=3e6)) == pytest.approx(task_needs.SECONDS_MARGIN * 6.1)


@given(NEEDS, SIZES)
def test_what_is_left_in_the_heap_has_an_end(need: TaskNeeds, sizes: Sizes) -> None:
    """For large images memory is in proportion to their pixels."""
    planes = TaskNeeds.memory_bytes(replace(need, libraries=0.0, left=0.0), sizes)
    most = need.libraries + need.most_left + planes
    assert need.memory_bytes(sizes) <= most * (1 + 1e-12)


@given(*(st.integers(0, 50) for _ in range(4)), st.integers(1, 8), st.integers(1, 8))
def test_a_pass_more_is_the_tasks_of_a_pass_more(
    once: int, every: int, full: int, told: int, passes: int, n_full: int
) -> None:
    counts = Counts(once, every, full, told)
    passes, n_full = max(passes, n_full), min(passes, n_full)
    more = counts.of_a_run(passes + 1, n_full + 1) - counts.of_a_run(passes, n_full)
    # The first pass has centroids: there is nothing to tell before the second.
    assert more == counts.of_a_pass - (0 if n_full > 1 or passes == 1 else told)
    assert counts.of_a_run(0, 0) == once


def test_on_the_fly_the_mosaic_is_made_for_each_colour(skies: dict[tuple[int, int], Path]) -> None:
    """Six exposures of one field share every tile: six colours."""
    otf = ("alignment.solver=independent", "alignment.update=otf")
    tasks = {one.stage: one.n_tasks for one in
             needs(skies[6, 64], *otf, "mosaic.reject_cosmic_rays=false").stages}  # fmt: skip
    assert (tasks["resample"], tasks["merge"], tasks["measure"]) == (36, 6, 6)


def test_one_task_is_singular(skies: dict[tuple[int, int], Path]) -> None:
    (line,) = (one for one in prediction_lines(needs(skies[2, 64])) if "detect" in one)
    assert " 1 task  of about" in line


def test_where_no_mosaic_is_left_none_is_made_when_the_loop_has_ended(
    skies: dict[tuple[int, int], Path],
) -> None:
    none = ("output.mosaic=none", "run.keep_mosaics=none")
    for settings, once in ((none, 0), (none[:1], 2), (none[1:], 2)):
        counts = {one.stage: one.counts for one in needs(skies[2, 64], *settings).stages}
        assert counts["resample"].once == once


def test_what_comes_once_more_is_told_and_small_disks_are_in_megabytes(
    skies: dict[tuple[int, int], Path],
) -> None:
    """The mosaic is made once more when the loop has ended."""
    *_, disk = lines = prediction_lines(needs(skies[2, 64]))
    (resample,) = (one for one in lines if "resample" in one)
    assert "; 2 more once)" in resample
    assert disk.count(" MB") == 4


@dataclass(frozen=True)
class Cramped:
    """A cluster whose workers have so much memory."""

    worker_memory_bytes: int
    more_memory: str = "cluster.memory_limit higher"

    def __call__(self, context: RunContext) -> Executor:
        raise NotImplementedError


def test_what_cannot_fit_is_refused_and_what_may_not_is_warned_of(
    skies: dict[tuple[int, int], Path],
) -> None:
    plan = plan_of(skies[2, 64])
    wanted = predicted(plan).memory_bytes
    assert require_fits(plan, Cramped(wanted)) == ()
    (note,) = require_fits(plan, Cramped(int(0.9 * wanted)))
    assert "cluster.memory_limit" in note
    with pytest.raises(ConfigError, match=r"needs about .* GB, a worker has .*memory_limit"):
        require_fits(plan, Cramped(int(0.6 * wanted)))


def test_a_cluster_that_does_not_know_its_memory_is_not_judged(
    skies: dict[tuple[int, int], Path],
) -> None:
    assert require_fits(plan_of(skies[2, 64]), SerialBackend()) == ()


def test_the_plan_as_json_has_each_stage(skies: dict[tuple[int, int], Path]) -> None:
    found = prediction_json(needs(skies[2, 64]))
    assert found["worker_memory_bytes"] == max(one["memory_bytes"] for one in found["stages"])
    assert found["disk_bytes"] >= sum(found["disk"].values()) - 1
    assert {"resample", "merge", "detect", "measure"} <= {one["stage"] for one in found["stages"]}


@pytest.mark.parametrize(
    ("backend", "settings", "setting"),
    [
        ("local", {"memory_limit": "100 MB"}, "cluster.memory_limit higher, or fewer"),
        ("slurm", {"workers": 1, "memory": "100 MB"}, "cluster.memory higher"),
        ("pbs", {"workers": 1, "memory": "100 MB"}, "cluster.memory higher"),
        (
            "sge",
            {"workers": 1, "memory": "100 MB", "resource_spec": "m={memory}"},
            "cluster.memory",
        ),
        ("lsf", {"workers": 1, "memory": "100 MB"}, "cluster.memory higher"),
        ("kubernetes", {"workers": 1, "image": "a", "memory": "100Mi"}, "cluster.memory higher"),
        ("ssh", {"hosts": ["a"], "memory_limit": "100 MB"}, "cluster.memory_limit higher"),
    ],
)
def test_each_backend_names_the_setting_that_gives_more_memory(
    skies: dict[tuple[int, int], Path], backend: str, settings: dict[str, object], setting: str
) -> None:
    plan = plan_of(skies[2, 64])
    small = cluster_backend(backend, settings)
    with pytest.raises(ConfigError, match=rf"memory: .* needs about .*; set {setting}"):
        require_fits(plan, small)
    assert unknown_memory(plan, small) == ()


@pytest.mark.parametrize(
    ("backend", "settings", "setting"),
    [
        ("scheduler", {"address": "tcp://127.0.0.1:1"}, "--memory-limit higher"),
        ("gateway", {"address": "https://g.org", "workers": 1}, "cluster.options"),
        ("ssh", {"hosts": ["a"]}, "cluster.memory_limit higher"),
    ],
)
def test_where_memory_is_not_known_what_is_needed_is_told(
    skies: dict[tuple[int, int], Path], backend: str, settings: dict[str, object], setting: str
) -> None:
    plan, somewhere = plan_of(skies[2, 64]), cluster_backend(backend, settings)
    assert require_fits(plan, somewhere) == ()
    (note,) = unknown_memory(plan, somewhere)
    assert f"{predicted(plan).memory_bytes / 1e9:.2f} GB" in note
    assert "not known from here" in note and setting in note


@pytest.mark.parametrize(
    ("exposure_bytes", "tile_bytes", "is_told"), [(4e8, 9e8, True), (8e8, 9e8, False)]
)
def test_smaller_tiles_are_advised_only_where_they_help(
    skies: dict[tuple[int, int], Path],
    monkeypatch: pytest.MonkeyPatch,
    exposure_bytes: float,
    tile_bytes: float,
    is_told: bool,
) -> None:
    """Where exposures are too large as well, smaller tiles would only lead to the next refusal."""
    plan = plan_of(skies[2, 64])
    monkeypatch.setitem(OF_EXPOSURES, "measure", TaskNeeds("measure", libraries=exposure_bytes))
    monkeypatch.setitem(OF_TILES, "detect", TaskNeeds("detect", libraries=tile_bytes))
    with pytest.raises(ConfigError, match=r"detect of .* cluster.memory_limit higher") as refused:
        require_fits(plan, Cramped(int(5e8)))
    assert ("mosaic.tile_shape smaller" in str(refused.value)) == is_told


def test_files_behind_urls_take_memory_of_their_own_and_of_the_exposure_that_comes_next(
    skies: dict[tuple[int, int], Path],
) -> None:
    plan = plan_of(skies[2, 256])

    def far_away(ref: ExposureRef) -> ExposureRef:
        chips = [
            replace(chip, science=replace(chip.science, uri="https://host/a.fits"))
            for chip in ref.chips
        ]
        return replace(ref, chips=tuple(chips))

    far = replace(
        plan,
        exposures=tuple(
            replace(one, header=replace(one.header, ref=far_away(one.header.ref)))
            for one in plan.exposures
        ),
    )
    found = {one.stage: one.memory_bytes for one in predicted(far).stages}
    for one in predicted(plan).stages:
        reads = one.stage in OF_EXPOSURES and OF_EXPOSURES[one.stage].read
        more = found[one.stage] - one.memory_bytes
        assert more == pytest.approx(2 * 4 * 256**2 if reads else 0, abs=1)


def test_what_is_read_ahead_is_bounded() -> None:
    need = OF_EXPOSURES["resample"]
    vast = need.memory_bytes(Sizes(read=1e9, far=1e9)) - need.memory_bytes(Sizes(read=1e9))
    assert vast == pytest.approx(4e9 + MOST_AHEAD_BYTES)
