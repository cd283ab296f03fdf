"""The journal tells on which mosaic, made by which corrections, sources were detected last."""

from __future__ import annotations

from alignsvc.domain.outcome import Convergence
from alignsvc.domain.task import TableRef
from alignsvc.io.journal import (
    Cleaned,
    DriverStarted,
    Event,
    LoopEnded,
    PassStarted,
    Published,
    RaysFound,
    Solved,
    SourcesFound,
)
from alignsvc.run.records.published import Publication, last_detection, publications

TABLE = TableRef("tables/sources/x.npz", "0")
FIRST = Solved(1, "tables/solved/1.npz", "1", 0.5, 3)
SECOND = Solved(2, "tables/solved/2.npz", "3", 0.1, 3)
RAYS = RaysFound(2, 2, "tables/solved/2-rays.npz", "2")


def found(pass_number: int) -> SourcesFound:
    return SourcesFound(pass_number, TABLE, TABLE, 10, 9)


def detection(told: list[Event], generation: int = 9) -> Publication | None:
    return last_detection(publications(told), generation)


def test_passes_that_detect_nothing_read_what_the_last_full_one_detected() -> None:
    told: list[Event] = [PassStarted(1, True), Published(1), found(1)]
    first = Publication(1, 1, None, is_detected=True, sources=found(1))
    assert detection(told) == first
    told += [FIRST, PassStarted(2, True), Published(2), RAYS, Published(3), found(2)]
    second = Publication(3, 2, RAYS, is_detected=True, sources=found(2))
    assert detection(told) == second
    # What sources are may be told in a pass that detects none; its mosaic is another one.
    told += [PassStarted(3, False), Published(4), found(3)]
    assert detection(told) == second
    assert detection(told, 2) == first


def test_a_loop_that_begins_anew_has_detected_nothing() -> None:
    told: list[Event] = [PassStarted(1, True), Published(1), found(1), FIRST, Cleaned()]
    assert detection(told) is None
    told += [PassStarted(1, True), Published(1), found(1)]
    assert detection(told) == Publication(1, 1, None, is_detected=True, sources=found(1))


def test_a_driver_that_goes_on_repeats_what_was_told_and_the_final_mosaic_is_none_of_the_loop() -> (
    None
):
    begun: list[Event] = [PassStarted(1, True), Published(1), found(1), FIRST]
    # The first driver dies in its second pass; its catalogue of that pass went with it.
    told = [*begun, PassStarted(2, False), Published(2), found(2)]
    told += [DriverStarted(2, "x"), PassStarted(2, False), Published(2), SECOND]
    told += [LoopEnded(Convergence.CONVERGED, 2), Published(3)]
    assert list(publications(told)) == [1, 2]
    assert publications(told)[2].made_by == FIRST
    searched = publications([*begun, PassStarted(2, True), Published(2), RAYS, Published(3)])
    assert [one.is_searched for one in searched.values()] == [False, True, False]
    assert searched[3].sources == found(1)
