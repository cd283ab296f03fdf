"""The journal gives back exactly what was written, or says what is wrong with it."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alignsvc.domain.outcome import Status
from alignsvc.errors import RunStoreError
from alignsvc.io.codec import sealed, unsealed
from alignsvc.io.journal import (
    EVENT_TYPES,
    Event,
    EventKind,
    ExposureEnded,
    ExposureState,
    Finished,
    PassStarted,
    RunCreated,
    States,
)
from alignsvc.io.journal_store import Entry, Journal, bytes_from_entry, entry_from_bytes
from alignsvc.io.locations import FORMAT_VERSION
from alignsvc.io.objects import LocalObjects

STORY: tuple[Event, ...] = (
    RunCreated("identity", (("alignment.method", "ff"),)),
    PassStarted(1, is_full=True),
    States(1, (ExposureState("night 1/ü", (0.1, 1 / 3, 1.0, -0.0, 5e-324, 1.0)),)),
    ExposureEnded("b", Status.FAILED, "no_wcs", "exposure b: no WCS"),
    Finished(1),
)


@pytest.fixture
def objects(tmp_path: Path) -> LocalObjects:
    return LocalObjects(tmp_path)


def clock() -> float:
    return 1234.5


@pytest.fixture
def journal(objects: LocalObjects) -> Journal:
    journal = Journal(objects, clock)
    for event in STORY:
        journal.append(event)
    return journal


def test_events_come_back_in_order(journal: Journal, objects: LocalObjects) -> None:
    assert tuple(journal.events()) == STORY
    assert tuple(Journal(objects, clock).events()) == STORY
    assert [entry.sequence for entry in journal.entries()] == [1, 2, 3, 4, 5]
    assert {entry.time_s for entry in journal.entries()} == {1234.5}


def test_an_empty_journal_has_no_events(objects: LocalObjects) -> None:
    assert list(Journal(objects, clock).events()) == []


def test_the_next_driver_goes_on_where_the_last_one_stopped(
    journal: Journal, objects: LocalObjects
) -> None:
    entry = Journal(objects, clock).append(Finished(0))
    assert entry.sequence == len(STORY) + 1


def test_a_driver_that_slept_writes_nothing_more(journal: Journal, objects: LocalObjects) -> None:
    Journal(objects, clock).append(Finished(0))
    with pytest.raises(RunStoreError, match="event 6 was written by another driver"):
        journal.append(Finished(5))
    assert tuple(Journal(objects, clock).events()) == (*STORY, Finished(0))


def test_a_missing_event_is_named(journal: Journal, objects: LocalObjects) -> None:
    objects.delete("journal/00000002.json")
    with pytest.raises(RunStoreError, match=r"where journal/00000002.json was wanted"):
        list(journal.events())
    with pytest.raises(RunStoreError):
        Journal(objects, clock).append(Finished(0))


def test_a_damaged_event_is_named(journal: Journal, objects: LocalObjects) -> None:
    name = "journal/00000003.json"
    whole = objects.get(name)
    for content in (whole[:-3], b"", whole.replace(b"0.1", b"0.2")):
        objects.put(name, content)
        with pytest.raises(RunStoreError, match=r"journal/00000003.json is damaged"):
            list(journal.events())


def test_an_event_in_the_place_of_another_is_noticed(
    journal: Journal, objects: LocalObjects
) -> None:
    objects.put("journal/00000002.json", objects.get("journal/00000001.json"))
    with pytest.raises(RunStoreError, match="it holds event 1"):
        list(journal.events())


@pytest.mark.parametrize("version", [FORMAT_VERSION - 1, FORMAT_VERSION + 1])
def test_another_format_is_refused_with_both_versions(
    journal: Journal, objects: LocalObjects, version: int
) -> None:
    data = unsealed(objects.get("journal/00000001.json"))
    objects.put("journal/00000001.json", sealed({**data, "format": version}))
    with pytest.raises(RunStoreError, match=rf"format {version}, .* reads format {FORMAT_VERSION}"):
        list(journal.events())


def test_every_kind_has_one_class() -> None:
    assert sorted(type_.kind for type_ in EVENT_TYPES) == sorted(EventKind)
    assert len({type_.kind for type_ in EVENT_TYPES}) == len(EVENT_TYPES)


events = st.one_of([st.builds(type_) for type_ in EVENT_TYPES])


@settings(max_examples=100, deadline=None)
@given(events, st.integers(1, 10**8 - 1), st.floats(allow_nan=False))
def test_every_event_survives_with_every_bit(event: Event, sequence: int, time_s: float) -> None:
    entry = Entry(sequence, time_s, event)
    # repr: NaN equals NaN there, and -0.0 does not equal 0.0.
    assert repr(entry_from_bytes(bytes_from_entry(entry), sequence)) == repr(entry)
