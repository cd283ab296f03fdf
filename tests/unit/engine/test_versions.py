"""Workers that run something else than the driver get no task, and are told of once."""

from __future__ import annotations

import pickle
from dataclasses import replace

from alignsvc.engine.versions import WorkerRefused, WorkerRoll, versions_here
from alignsvc.version import VERSION

A, B = "tcp://127.0.0.1:1", "tcp://127.0.0.1:2"


def test_who_runs_the_same_is_asked_once_and_never_refused() -> None:
    told: list[tuple[str, str]] = []
    roll = WorkerRoll(lambda *refused: told.append(refused))
    assert roll.new_among([A, B]) == [A, B]
    roll.enter({A: versions_here()})
    assert roll.new_among([A, B]) == [B]
    assert roll.refused == frozenset()
    assert told == []


def test_another_version_of_anything_is_refused_with_both_and_the_worker() -> None:
    for name in ("alignsvc", "python", "numpy"):
        told: list[tuple[str, str]] = []
        roll = WorkerRoll(lambda *refused, told=told: told.append(refused))
        for _ in range(2):
            roll.enter({A: versions_here(), B: replace(versions_here(), **{name: "0.0"})})
        assert roll.refused == {B}
        ((worker, why),) = told
        assert worker == B
        assert B in why
        assert "0.0" in why
        assert f"alignsvc {VERSION}" in why
        assert roll.reasons == why


def test_a_worker_without_the_package_is_refused_and_one_that_is_gone_is_asked_again() -> None:
    roll = WorkerRoll(lambda *refused: None)
    roll.enter({A: ModuleNotFoundError("No module named 'alignsvc'"), B: OSError("closed")})
    assert roll.refused == {A}
    assert "no alignsvc that answers" in roll.reasons
    assert roll.new_among([A, B]) == [B]


def test_a_refusal_survives_the_way_from_the_worker() -> None:
    found = pickle.loads(pickle.dumps(WorkerRefused(A, "another version")))  # noqa: S301 - ours
    assert (found.worker, str(found)) == (A, "another version")
