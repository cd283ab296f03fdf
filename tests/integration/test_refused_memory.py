"""What cannot fit into a worker is refused before anything runs, by the setting to change."""

from __future__ import annotations

import pytest
from workplaces import Command, Workplace


@pytest.mark.parametrize("verb", ["run", "check"])
def test_workers_that_are_too_small_are_refused(
    work: Workplace, command: Command, verb: str
) -> None:
    cluster = {"cluster.backend": "local", "cluster.memory_limit": "50 MB"}
    ended = command(verb, work.config(cluster))
    assert ended.code == 2
    assert "GB, a worker has 0.05; set " in ended.sentence
    assert "cluster.memory_limit higher" in ended.sentence
    assert not work.run.exists()


@pytest.mark.parametrize("limit", ["0", "plenty"])
def test_what_is_no_amount_of_memory_is_named(
    work: Workplace, command: Command, limit: str
) -> None:
    cluster = {"cluster.backend": "local", "cluster.memory_limit": limit}
    ended = command("check", work.config(cluster))
    assert ended.code == 2
    assert "cluster.memory_limit" in ended.sentence and "4 GiB" in ended.sentence


def test_check_tells_what_each_stage_needs(work: Workplace, command: Command) -> None:
    found = command("check", work.config(), "--json").json
    stages = {one["stage"]: one for one in found["stages"]}
    assert set(stages) == {
        *("list_sources", "resample", "measure"),
        *("merge", "background", "detect"),
    }
    assert found["worker_memory_bytes"] == max(one["memory_bytes"] for one in stages.values())
    said = command("check", work.config()).out
    assert "measure           3 tasks of about" in said
    assert "disk: contributions" in said
