"""Tasks are handed out along a line through the sky: all of them, neighbours together."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from alignsvc.config.load import parse_config
from alignsvc.domain.outcome import TaskKey, TaskOutcome, TaskStatus
from alignsvc.domain.task import Task
from alignsvc.run.planning.making import make_plan
from alignsvc.run.planning.plan import Plan
from alignsvc.run.planning.sky_order import NO_ORDER, along_the_sky, sky_order
from alignsvc.simulation.reading_settings import sky_settings
from alignsvc.simulation.simulate import simulate_to


@dataclass(frozen=True)
class About:
    """A task of which only the subject counts."""

    subject: str

    @property
    def key(self) -> TaskKey:
        return TaskKey("measure", self.subject, self.subject)

    def __call__(self) -> TaskOutcome:
        return TaskOutcome(self.key, TaskStatus.OK)


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    """Six by six exposures on tiles half as wide as they are."""
    folder = tmp_path_factory.mktemp("field")
    layout = {"name": "grid", "rows": 6, "columns": 6, "ra": 150.1, "dec": 2.2}
    camera = {"shape": [64, 64], "scale_arcsec": 0.2}
    simulate_to(
        folder, sky_settings({"layout": layout, "camera": camera, "stars": {"density": 1.0}})
    )
    text = (
        f"{{images: {{paths: ['{folder}/*.fits']}}, cluster: {{backend: serial}}, "
        "mosaic: {tile_shape: [32, 32]}}"
    )
    return make_plan(parse_config(text, "x.yaml", ()))


def places(plan: Plan) -> dict[str, np.ndarray]:
    """Return where each subject lies, in pixels of the grid."""
    (grid,) = plan.grids
    found = {}
    for one in plan.exposures:
        at = grid.pixel_from_sky(one.header.wcs[0].centre())
        found[one.id] = np.array([float(at.x), float(at.y)])
    for tile in grid.tiles():
        found[str(tile)] = np.array([tile.column * 32 + 16.0, tile.row * 32 + 16.0])
    return found


def steps(names: list[str], at: dict[str, np.ndarray]) -> np.ndarray:
    """Return how far each lies from the one before, px."""
    line = np.array([at[name] for name in names])
    return np.hypot(*np.diff(line, axis=0).T)


@pytest.mark.parametrize("of", ["exposures", "tiles"])
def test_the_next_task_is_about_what_lies_near(plan: Plan, of: str) -> None:
    at = places(plan)
    names = sorted(name for name in at if name.startswith("c0/") is (of == "tiles"))
    rng = np.random.default_rng(2)
    tasks: list[Task] = [About(names[k]) for k in rng.permutation(len(names))]
    ordered = [task.key.subject for task in along_the_sky(tasks, sky_order(plan))]
    assert sorted(ordered) == names
    apart = 32.0 if of == "tiles" else 0.8 * 64.0
    assert np.median(steps(ordered, at)) <= 1.1 * apart
    by_lot = [task.key.subject for task in tasks]
    assert steps(ordered, at).sum() < 0.5 * steps(by_lot, at).sum()


def test_what_has_no_place_comes_last_and_without_order_all_stays_as_it_is(plan: Plan) -> None:
    tasks: list[Task] = [About("somewhere else"), *(About(one.id) for one in plan.exposures)]
    assert along_the_sky(tasks, sky_order(plan))[-1] == tasks[0]
    assert along_the_sky(tasks, NO_ORDER) == tasks
