"""What comes next is read while what came before is looked at: in order, bounded, errors told."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from alignsvc.errors import RunStoreError, TransientError
from alignsvc.io.buckets import BucketObjects
from alignsvc.io.journal import PassStarted
from alignsvc.io.journal_store import Entry, Journal
from alignsvc.io.objects import LocalObjects
from alignsvc.io.places import UrlPlace
from alignsvc.io.reading_ahead import Readers, read_ahead

NAMES = [f"{k:02d}" for k in range(40)]


class Far(BucketObjects):
    """A bucket whose content lies on this disk, and whose every answer takes its time."""

    near: LocalObjects
    asked: list[str]

    def get(self, name: str) -> bytes:
        self.asked.append(name)
        time.sleep(0.002 * (len(self.asked) % 3))
        return self.near.get(name)

    def list(self, prefix: str) -> tuple[str, ...]:
        return self.near.list(prefix)


def far_from(near: LocalObjects) -> Far:
    far = Far(UrlPlace("s3://bucket/run"))
    for name, value in (("near", near), ("asked", [])):
        object.__setattr__(far, name, value)
    return far


@pytest.fixture
def near(tmp_path: Path) -> LocalObjects:
    objects = LocalObjects(tmp_path, is_scratch=True)
    journal = Journal(objects, lambda: 1234.5)
    for number in range(1, 41):
        journal.append(PassStarted(number, is_full=True))
    return objects


def told_by(objects: LocalObjects | Far) -> tuple[list[Entry], str]:
    """Return the events before the first that hinders, and what that is."""
    found: list[Entry] = []
    try:
        for entry in Journal(objects, lambda: 0.0).entries():
            found.append(entry)  # noqa: PERF402 - those before an error count
    except RunStoreError as error:
        return found, str(error).removeprefix(f"{objects.root}: ").replace(
            str(objects.root), "HERE"
        )
    return found, ""


def test_a_journal_far_away_has_the_same_events_in_the_same_order(near: LocalObjects) -> None:
    far = far_from(near)
    found, trouble = told_by(far)
    assert (found, trouble) == told_by(near)
    assert len(found) == 40
    assert trouble == ""
    assert sorted(far.asked) == list(near.list("journal/"))


def test_of_a_bucket_many_events_are_asked_for_at_once(near: LocalObjects) -> None:
    several = threading.Barrier(8)

    class Waiting(Far):
        def get(self, name: str) -> bytes:
            # An answer comes only when seven others are asked for: one by one none ever would.
            several.wait(timeout=20)
            return near.get(name)

        def list(self, prefix: str) -> tuple[str, ...]:
            return near.list(prefix)

    journal = Journal(Waiting(UrlPlace("s3://bucket/run")), lambda: 0.0)
    assert [entry.sequence for entry in journal.entries()] == [*range(1, 41)]


def damaged(objects: LocalObjects) -> None:
    name = "journal/00000023.json"
    objects.put(name, objects.get(name).replace(b"true", b"false"))


def moved(objects: LocalObjects) -> None:
    objects.put("journal/00000023.json", objects.get("journal/00000024.json"))


def missing(objects: LocalObjects) -> None:
    objects.delete("journal/00000023.json")


@pytest.mark.parametrize("harm", [damaged, moved, missing])
def test_what_hinders_is_told_as_if_events_were_read_one_by_one(
    near: LocalObjects, harm: Callable[[LocalObjects], None]
) -> None:
    harm(near)
    found, trouble = told_by(far_from(near))
    assert (found, trouble) == told_by(near)
    assert "journal/00000023.json" in trouble
    assert len(found) == (0 if harm is missing else 22)


def test_an_error_is_raised_in_its_turn_whatever_came_later() -> None:
    def get(name: str) -> bytes:
        if name == NAMES[7]:
            time.sleep(0.02)
            raise TransientError("the server is away")
        if name > NAMES[7]:
            raise RunStoreError(f"{name} is missing")
        return name.encode()

    contents = read_ahead(get, NAMES, 16)
    assert [next(contents) for _ in range(7)] == [name.encode() for name in NAMES[:7]]
    with pytest.raises(TransientError, match="the server is away"):
        next(contents)


@pytest.mark.parametrize("n_ahead", [1, 2, 5, 100])
def test_no_more_lie_ready_than_may(n_ahead: int) -> None:
    asked: list[str] = []

    def get(name: str) -> bytes:
        asked.append(name)
        return name.encode()

    contents = read_ahead(get, NAMES, n_ahead)
    for k in range(20):
        assert next(contents) == NAMES[k].encode()
        time.sleep(0.0005)
        assert len(asked) <= k + 1 + n_ahead
    contents.close()  # type: ignore[attr-defined]
    before = len(asked)
    time.sleep(0.002)
    assert len(asked) <= before + n_ahead


@pytest.mark.parametrize("n", [0, 1, 2, 3])
def test_few_are_read_as_many_are(n: int) -> None:
    assert [*read_ahead(str.encode, NAMES[:n], 16)] == [name.encode() for name in NAMES[:n]]


def test_readers_answer_in_turn_and_leave_out_what_nobody_waits_for_any_more() -> None:
    goes, began = threading.Event(), []

    def first() -> str:
        goes.wait(30)
        return "first"

    readers = Readers(1)
    answers = [readers.submit(first), *(readers.submit(began.append, k) for k in range(3))]
    assert answers[2].cancel()
    goes.set()
    assert [answers[0].result(30), answers[1].result(30), answers[3].result(30)] == [
        "first",
        None,
        None,
    ]
    assert began == [0, 2]


def test_what_a_reader_meets_is_raised_where_its_answer_is_asked_for() -> None:
    readers = Readers(2)
    with pytest.raises(ZeroDivisionError):
        readers.submit(divmod, 1, 0).result(30)
    assert readers.submit(divmod, 7, 2).result(30) == (3, 1)
