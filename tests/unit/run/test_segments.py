"""The journal tells on which mosaic, made by which corrections, sources were detected last."""

from __future__ import annotations

from alignsvc.domain.task import TableRef
from alignsvc.io.journal import (
    Cleaned,
    Event,
    PassStarted,
    Published,
    RaysFound,
    Solved,
    SourcesFound,
)
from alignsvc.run.segments import Detection, last_detection

TABLE = TableRef("tables/sources/x.npz", "0")
FIRST = Solved(1, "tables/solved/1.npz", "1", 0.5, 3)
RAYS = RaysFound(2, 2, "tables/solved/2-rays.npz", "2")


def found(pass_number: int) -> SourcesFound:
    return SourcesFound(pass_number, TABLE, TABLE, TABLE, 10, 9)


def test_passes_that_detect_nothing_read_what_the_last_full_one_detected() -> None:
    told: list[Event] = [PassStarted(1, True), Published(1), found(1)]
    assert last_detection(told) == Detection(1, 1, None)
    told += [FIRST, PassStarted(2, True), Published(2), RAYS, Published(3), found(2)]
    assert last_detection(told) == Detection(2, 3, RAYS)
    # What sources are may be told in a pass that detects none; its mosaic is another one.
    told += [PassStarted(3, False), Published(4), found(3)]
    assert last_detection(told) == Detection(2, 3, RAYS)


def test_a_loop_that_begins_anew_has_detected_nothing() -> None:
    told: list[Event] = [PassStarted(1, True), Published(1), found(1), FIRST, Cleaned()]
    assert last_detection(told) is None
    assert last_detection([*told, PassStarted(1, True), Published(1), found(1)]) == Detection(
        1, 1, None
    )
