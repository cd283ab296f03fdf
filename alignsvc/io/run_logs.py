"""The log of a run: what its drivers went through, for people, bounded whatever happens.

Lines of JSON in objects ``logs/driver-00000003-0001.jsonl``: number of the lease, then of the
piece. The last piece of a driver is written again, whole, with each flush, and a new one begins
when it is full; beyond a number of pieces the oldest go. A driver writes pieces of its own lease
only, so that one that was replaced spoils nobody else's, and numbers on if it begins its work
twice. No state and no number depends on any of it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum

from alignsvc.io.codec import dumps, json_from, value_from
from alignsvc.io.locations import LOGS
from alignsvc.io.objects import ObjectStore
from alignsvc.io.record_pieces import first_free_piece
from alignsvc.redaction import redacted

_PREFIX = f"{LOGS}driver-"
#: A sentence in a log is cut here: a message from outside may be as long as it likes.
_LONGEST_TEXT = 2000


class LogKind(StrEnum):
    """What a line tells of."""

    DRIVER_STARTED = "driver_started"
    DRIVER_ENDED = "driver_ended"
    STAGE_STARTED = "stage_started"
    TASK_RETRIED = "task_retried"
    TASK_DOUBLED = "task_doubled"
    TASK_SKIPPED = "task_skipped"
    TASK_FAILED = "task_failed"
    PASS_SOLVED = "pass_solved"
    NOTE = "note"


@dataclass(frozen=True, slots=True)
class LogLine:
    """A line.

    Parameters
    ----------
    time_s : float
        Seconds since 1970, by the driver's clock.
    what : LogKind
    stage, subject : str
        Of the task, if it is about one: what it does to which exposure or tile.
    text : str
    """

    time_s: float
    what: LogKind
    stage: str = ""
    subject: str = ""
    text: str = ""


@dataclass(frozen=True, slots=True)
class LogSize:
    """How much of a log is kept.

    Parameters
    ----------
    piece_bytes : int
        Where a piece is full.
    pieces : int
        Of all drivers of a run together.
    """

    piece_bytes: int = 200_000
    pieces: int = 20


class LogWriter:
    """Writes one driver's pieces.

    Parameters
    ----------
    objects : ObjectStore
    epoch : int
        Of its lease.
    size : LogSize
    """

    def __init__(self, objects: ObjectStore, epoch: int, size: LogSize | None = None) -> None:
        self._objects = objects
        self._size = size or LogSize()
        self._prefix = f"{_PREFIX}{epoch:08d}-"
        self._piece = 0
        self._lines: list[bytes] = []
        self._length = 0
        self._is_new = False

    def add(self, line: LogLine) -> None:
        """Add a line; it is in the store after the next `flush`, or when the piece is full."""
        content = dumps(json_from(replace(line, text=_short(redacted(line.text))), LogLine)) + b"\n"
        if self._length + len(content) > self._size.piece_bytes and self._lines:
            self.flush()
            self._piece, self._lines, self._length = self._piece + 1, [], 0
        self._lines.append(content)
        self._length += len(content)
        self._is_new = True

    def flush(self) -> None:
        """Write the present piece, if anything is new in it, and remove pieces beyond the cap."""
        if not self._is_new:
            return
        self._piece = self._piece or first_free_piece(self._objects, self._prefix)
        self._objects.put(f"{self._prefix}{self._piece:04d}.jsonl", self._content)
        self._is_new = False
        for name in self._objects.list(_PREFIX)[: -self._size.pieces]:
            self._objects.delete(name)

    @property
    def _content(self) -> bytes:
        return b"".join(self._lines)


def log_lines(objects: ObjectStore) -> Iterator[LogLine]:
    """Yield what is left of a run's log, in order; what cannot be read is left out."""
    for name in objects.list(_PREFIX):
        yield from _lines(objects.find(name) or b"")


def last_log_lines(objects: ObjectStore, count: int) -> tuple[LogLine, ...]:
    """Return the last lines of a run's log, in order, reading no more pieces than that takes."""
    found: tuple[LogLine, ...] = ()
    for name in reversed(objects.list(_PREFIX)):
        texts = (objects.find(name) or b"").splitlines()
        # Some may not be readable, and then others before them count.
        while texts and len(found) < count:
            wanted = count - len(found)
            found = (*_lines(b"\n".join(texts[-wanted:])), *found)
            texts = texts[:-wanted]
        if len(found) >= count:
            break
    return found


def _lines(content: bytes) -> Iterator[LogLine]:
    for text in content.splitlines():
        try:
            yield value_from(json.loads(text), LogLine)
        except (TypeError, ValueError):
            continue


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST_TEXT else f"{text[:_LONGEST_TEXT]} ..."
