"""What cannot fit into a worker is refused before anything runs, by the setting to change."""

from __future__ import annotations

import sys

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


@pytest.mark.parametrize("verb", [("run",), ("check",), ("submit",), ("submit", "--dry-run")])
@pytest.mark.parametrize(
    "cluster",
    [
        {"backend": "slurm", "workers": 2, "memory": "50 MB"},
        {"backend": "kubernetes", "image": "a", "workers": 2, "memory": "50Mi"},
    ],
)
def test_workers_elsewhere_that_are_too_small_are_refused(
    work: Workplace, command: Command, cluster: dict[str, object], verb: tuple[str, ...]
) -> None:
    """Before any job or pod is asked for, and whatever this machine lacks."""
    settings = {f"cluster.{key}": value for key, value in cluster.items()}
    ended = command(verb[0], work.config(settings), *verb[1:])
    assert ended.code == 2
    assert "GB, a worker has 0.05; set cluster.memory higher" in ended.sentence
    assert not work.run.exists()


def test_what_nobody_knows_before_a_run_is_said(work: Workplace, command: Command) -> None:
    cluster = {"cluster.backend": "scheduler", "cluster.address": "tcp://127.0.0.1:1"}
    said = command("check", work.config(cluster))
    assert said.code == 0
    assert "what a worker has is not known from here" in said.out


@pytest.mark.parametrize("verb", [("check",), ("submit", "--dry-run")])
def test_what_this_machine_lacks_is_a_note_where_nothing_starts(
    work: Workplace, command: Command, verb: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run may be meant for another machine: `run` here is refused by the same sentence."""
    monkeypatch.setenv("PATH", "/nowhere")
    config = work.config(
        {"cluster.backend": "slurm", "cluster.workers": 1, "cluster.memory": "4 GiB"}
    )
    shown = command(verb[0], config, *verb[1:])
    lacking = "there is no sbatch, squeue, scancel here"
    assert shown.code == 0 and lacking in shown.out
    refused = command("run", config)
    assert refused.code == 2 and lacking in refused.sentence
    assert not work.run.exists()


@pytest.mark.parametrize(
    ("cluster", "package", "extra"),
    [
        ({"backend": "slurm", "workers": 1, "memory": "4 GiB"}, "dask_jobqueue", "batch"),
        ({"backend": "ssh", "hosts": ["localhost"]}, "asyncssh", "ssh"),
        ({"backend": "kubernetes", "image": "a", "workers": 1}, "kr8s", "kubernetes"),
        ({"backend": "gateway", "address": "https://a", "workers": 1}, "dask_gateway", "gateway"),
    ],
)
def test_a_package_that_is_not_installed_is_told_by_the_extra_that_has_it(
    work: Workplace,
    command: Command,
    cluster: dict[str, object],
    package: str,
    extra: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """`submit --dry-run` shows what jobs would be, which takes the package of batch systems."""
    monkeypatch.setitem(sys.modules, package, None)
    config = work.config({f"cluster.{key}": value for key, value in cluster.items()})
    pip = f"pip install 'alignsvc[{extra}]'"
    checked, rehearsed = command("check", config), command("submit", config, "--dry-run")
    assert checked.code == 0 and pip in checked.out
    assert pip in (rehearsed.err if extra == "batch" else rehearsed.out)
    assert rehearsed.code == (2 if extra == "batch" else 0)
    assert pip in command("run", config).sentence


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
        *("list_sources", "match_sources", "resample", "measure"),
        *("merge", "background", "detect"),
    }
    assert found["worker_memory_bytes"] == max(one["memory_bytes"] for one in stages.values())
    said = command("check", work.config()).out
    assert "measure            3 tasks of about" in said
    assert "sources a megapixel" in said
    assert "disk: contributions" in said
