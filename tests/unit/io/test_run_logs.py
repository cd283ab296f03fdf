"""The log of a run is bounded, whole after each flush, and one driver spoils no other's."""

from __future__ import annotations

from pathlib import Path

import pytest

from alignsvc.io.objects import LocalObjects
from alignsvc.io.run_logs import LogKind, LogLine, LogSize, LogWriter, log_lines


@pytest.fixture
def objects(tmp_path: Path) -> LocalObjects:
    return LocalObjects(tmp_path, is_scratch=True)


def note(number: int, length: int = 0) -> LogLine:
    return LogLine(float(number), LogKind.NOTE, text=f"{number}" + "x" * length)


def test_lines_come_back_in_order_over_pieces_and_drivers(objects: LocalObjects) -> None:
    size = LogSize(piece_bytes=300, pieces=50)
    for epoch in (1, 2):
        writer = LogWriter(objects, epoch, size)
        for number in range(10):
            writer.add(note(10 * epoch + number))
            writer.flush()
    assert [line.time_s for line in log_lines(objects)] == [float(n) for n in range(10, 30)]
    assert len(objects.list("logs/")) > 4


def test_a_driver_that_begins_its_work_twice_overwrites_nothing(objects: LocalObjects) -> None:
    size = LogSize(piece_bytes=300, pieces=50)
    for begin in (0, 10, 20):
        writer = LogWriter(objects, 3, size)
        for number in range(begin, begin + 10):
            writer.add(note(number))
        writer.flush()
    assert [line.time_s for line in log_lines(objects)] == [float(n) for n in range(30)]


def test_the_oldest_pieces_go(objects: LocalObjects) -> None:
    writer = LogWriter(objects, 3, LogSize(piece_bytes=300, pieces=4))
    for number in range(200):
        writer.add(note(number))
    writer.flush()
    names = objects.list("logs/")
    assert len(names) == 4
    assert sum(objects.sizes("logs/").values()) <= 4 * 300
    assert [line.time_s for line in log_lines(objects)][-1] == 199.0


def test_a_long_text_is_cut_and_a_line_that_nobody_can_read_left_out(objects: LocalObjects) -> None:
    writer = LogWriter(objects, 1)
    writer.add(note(1, length=100_000))
    writer.flush()
    assert max(objects.sizes("logs/").values()) < 5000
    name = "logs/driver-00000002-0001.jsonl"
    objects.put(name, b'{"half\n[1]\n{"time_s": 1, "what": "unheard of"}\n')
    objects.put("logs/driver.log", b"what a batch system says")
    assert len(list(log_lines(objects))) == 1


def test_nothing_new_is_nothing_written(objects: LocalObjects) -> None:
    LogWriter(objects, 1).flush()
    assert objects.list("") == ()
