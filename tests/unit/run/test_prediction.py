"""What a run needs is known before it runs; what cannot fit is refused by what to set."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from alignsvc.config.load import parse_config
from alignsvc.engine.base import Executor, RunContext
from alignsvc.engine.clusters.serial import SerialBackend
from alignsvc.errors import ConfigError
from alignsvc.run.plan import Plan
from alignsvc.run.planning import make_plan
from alignsvc.run.prediction import Prediction, predicted, require_fits
from alignsvc.run.report.needs import prediction_json
from alignsvc.simulation.settings import sky_settings
from alignsvc.simulation.simulate import simulate_to


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
    assert by_model.n_tasks == plain.n_tasks + 1
    assert both.n_tasks == plain.n_tasks
    assert both.n_once == plain.n_once + 1 + 2 * 2
    told = next(one for one in by_model.stages if one.stage == "tell")
    assert told.memory_bytes > next(
        one.memory_bytes for one in by_model.stages if one.stage == "detect"
    )


def test_what_is_not_written_takes_no_disk(skies: dict[tuple[int, int], Path]) -> None:
    lean = needs(skies[2, 256], "output.wcs=none", "output.mosaic=none")
    assert lean.product_bytes < needs(skies[2, 256]).product_bytes


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
