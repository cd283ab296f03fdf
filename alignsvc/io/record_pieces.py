"""Records that never end, kept bounded: the newest as they are, older ones summed up.

Objects ``logs/tasks-00000003-000001.json``: number of the lease of a driver, then of the piece.
Each is sealed and whole; the last one of a driver is written again with each flush, and a new one
begins when it is full. When there are too many pieces, of all drivers together, the oldest are
summed up in one object, ``logs/tasks-until-00000003-000001.json``, which is named by the last of
them and replaces the one before: so what lies under an older name counts no more. A driver writes
under names of its own lease, so that one that was replaced spoils nothing. No state and no number
depends on any of it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeAlias, TypeVar

from alignsvc.errors import AlignError
from alignsvc.io.codec import Json, dumps, unsealed
from alignsvc.io.locations import LOGS
from alignsvc.io.objects import ObjectStore

R = TypeVar("R")
S = TypeVar("S")
Row: TypeAlias = "list[Json]"

#: Of pieces and of what sums them up.
PIECES_FORMAT = 1
_UNTIL = "until-"


@dataclass(frozen=True, slots=True)
class RecordKind(Generic[R, S]):
    """A kind of record, and what becomes of old ones.

    Parameters
    ----------
    name : str
        Begins the names of its objects.
    row, record : callable
        From a record to JSON values, and back; ValueError, TypeError or KeyError if these are none.
    sum_row, sum_record : callable
        The same for what old records are summed up in.
    summed : callable
        Sums further records up: a bounded number, however many there were.
    """

    name: str
    row: Callable[[R], Row]
    record: Callable[[Row], R]
    sum_row: Callable[[S], Row]
    sum_record: Callable[[Row], S]
    summed: Callable[[Sequence[S], Sequence[R]], Sequence[S]]

    @property
    def prefix(self) -> str:
        """What the names of all its objects begin with."""
        return f"{LOGS}{self.name}-"

    def piece_name(self, epoch: int, piece: int) -> str:
        """Return the name of a piece."""
        return f"{self.epoch_prefix(epoch)}{piece:06d}.json"

    def epoch_prefix(self, epoch: int) -> str:
        """Return what the names of all pieces of a lease begin with."""
        return f"{self.prefix}{epoch:08d}-"

    def until_name(self, piece: str) -> str:
        """Return the name of what sums up all pieces up to one."""
        return f"{self.prefix}{_UNTIL}{piece.removeprefix(self.prefix)}"

    def last_of(self, until: str) -> str:
        """Return the name of the last piece that is summed up in an object."""
        return until.replace(f"{self.prefix}{_UNTIL}", self.prefix, 1)

    def is_until(self, name: str) -> bool:
        """Return whether an object sums pieces up."""
        return name.startswith(f"{self.prefix}{_UNTIL}")


@dataclass(frozen=True, slots=True)
class PieceSizes:
    """How much is kept.

    Parameters
    ----------
    rows : int
        Where a piece is full.
    fewest, most : int
        Beyond `most` pieces the oldest are summed up until `fewest` are left.
    waiting : int
        Records that are kept in memory while the store takes none; the oldest go.
    """

    rows: int = 1000
    fewest: int = 8
    most: int = 12
    waiting: int = 10_000


@dataclass(frozen=True, slots=True)
class PieceContent(Generic[R]):
    """What a piece holds, or what sums pieces up.

    Parameters
    ----------
    records : tuple
    n_lost : int
        Records that the store did not take in time.
    n_damaged : int
        Pieces that could not be read when they were to be summed up.
    """

    records: tuple[R, ...] = ()
    n_lost: int = 0
    n_damaged: int = 0


class PieceWriter(Generic[R, S]):
    """Writes one driver's pieces, and sums up the oldest.

    Parameters
    ----------
    objects : ObjectStore
    kind : RecordKind
    epoch : int
        Of its lease.
    sizes : PieceSizes
    """

    def __init__(
        self,
        objects: ObjectStore,
        kind: RecordKind[R, S],
        epoch: int,
        sizes: PieceSizes | None = None,
    ) -> None:
        self._objects = objects
        self._kind = kind
        self._epoch = epoch
        self._sizes = sizes or PieceSizes()
        self._piece = 0
        self._rows: list[bytes] = []
        self._waiting: list[R] = []
        self._n_lost = 0

    def add(self, record: R) -> None:
        """Add a record; it is in the store after the next `flush`."""
        self._waiting.append(record)

    def flush(self) -> None:
        """Write what is new.

        Raises
        ------
        AlignError
            The store did not take it; it is kept for the next time, as far as there is room.
        """
        if not self._waiting:
            return
        try:
            before = self._piece
            self._piece = self._piece or first_free_piece(
                self._objects, self._kind.epoch_prefix(self._epoch)
            )
            while self._waiting:
                self._write_some()
            if self._piece != before:
                self._sum_up_oldest()
        except AlignError:
            too_many = max(0, len(self._waiting) - self._sizes.waiting)
            del self._waiting[:too_many]
            self._n_lost += too_many
            raise

    def _write_some(self) -> None:
        """Write the present piece with as much more as it has room for."""
        if len(self._rows) >= self._sizes.rows:
            self._piece, self._rows, self._n_lost = self._piece + 1, [], 0
        room = self._sizes.rows - len(self._rows)
        new = [dumps(self._kind.row(record)) for record in self._waiting[:room]]
        rows = [*self._rows, *new]
        name = self._kind.piece_name(self._epoch, self._piece)
        self._objects.put(name, _sealed_rows(rows, n_lost=self._n_lost))
        self._rows = rows
        del self._waiting[:room]

    def _sum_up_oldest(self) -> None:
        """Sum up the oldest pieces if there are too many, and remove what is summed up."""
        own = self._kind.piece_name(self._epoch, self._piece)
        found = FoundPieces.of(self._kind, self._objects.list(self._kind.prefix), until=own)
        if len(found.pieces) > self._sizes.most:
            old = found.pieces[: -self._sizes.fewest]
            self._objects.put(self._kind.until_name(old[-1]), self._sum_of(found.until, old))
            found = replace(found, over=(*found.over, *filter(None, [found.until]), *old))
        for name in found.over:
            self._objects.delete(name)

    def _sum_of(self, until: str, old: Sequence[str]) -> bytes:
        """Return the content of what sums up pieces, and what the ones before are summed up in."""
        before: PieceContent[S] | None = PieceContent()
        if until:
            before = read_content(self._objects, until, self._kind.sum_record)
        sums = before or PieceContent(n_damaged=1)
        contents = [read_content(self._objects, name, self._kind.record) for name in old]
        whole = [content for content in contents if content is not None]
        records = [record for content in whole for record in content.records]
        return _sealed_rows(
            [dumps(self._kind.sum_row(one)) for one in self._kind.summed(sums.records, records)],
            sums.n_lost + sum(content.n_lost for content in whole),
            sums.n_damaged + len(contents) - len(whole),
        )


@dataclass(frozen=True, slots=True)
class FoundPieces:
    """Names of what there is of a kind.

    Parameters
    ----------
    until : str
        Of what sums up the oldest; empty if there is none.
    pieces : tuple of str
        Of those that came later, in order.
    over : tuple of str
        Of those that count no more: they are summed up, or another sum replaced them.
    """

    until: str
    pieces: tuple[str, ...]
    over: tuple[str, ...]

    @classmethod
    def of(
        cls, kind: RecordKind[Any, Any], names: Sequence[str], until: str | None = None
    ) -> FoundPieces:
        """Sort names out; of later pieces than one, and of their sums, nothing is said."""
        untils = sorted(name for name in names if kind.is_until(name))
        if until is not None:
            untils = [name for name in untils if kind.last_of(name) <= until]
        pieces = sorted(name for name in names if not kind.is_until(name))
        last = kind.last_of(untils[-1]) if untils else ""
        return cls(
            untils[-1] if untils else "",
            tuple(name for name in pieces if last < name and (until is None or name <= until)),
            (*untils[:-1], *(name for name in pieces if name <= last)),
        )


@dataclass(frozen=True, slots=True)
class Records(Generic[R, S]):
    """What a store has of a kind.

    Parameters
    ----------
    sums : tuple
        What the oldest are summed up in.
    records : tuple
        The others, in the order in which they were written.
    n_lost : int
        Records that are missing since the store did not take them in time.
    damaged : tuple of str
        Names of objects that cannot be read.
    n_damaged_before : int
        Objects of that kind that are gone.
    """

    sums: tuple[S, ...] = ()
    records: tuple[R, ...] = ()
    n_lost: int = 0
    damaged: tuple[str, ...] = ()
    n_damaged_before: int = 0


class PieceReader(Generic[R, S]):
    """Reads the records of a kind again and again, and only what is new.

    Parameters
    ----------
    objects : ObjectStore
    kind : RecordKind
    newest : int or None
        Pieces that are read, the last ones, and no sums; None = everything.
    """

    def __init__(
        self, objects: ObjectStore, kind: RecordKind[R, S], newest: int | None = None
    ) -> None:
        self._objects = objects
        self._kind = kind
        self._newest = newest
        self._read: dict[str, tuple[int, PieceContent[Any] | None]] = {}
        self._found: Records[R, S] = Records()

    def __call__(self) -> Records[R, S]:
        """Return what there is: the same value as before if nothing is new."""
        sizes = self._objects.sizes(self._kind.prefix)
        found = FoundPieces.of(self._kind, tuple(sizes))
        pieces = found.pieces if self._newest is None else found.pieces[-self._newest :]
        until = found.until if self._newest is None else ""
        names = (*filter(None, [until]), *pieces)
        # A piece only ever grows: one of the same size is the same.
        if {name: sizes[name] for name in names} == {
            name: size for name, (size, _) in self._read.items()
        }:
            return self._found
        self._read = {name: (sizes[name], self._content(name, sizes[name])) for name in names}
        contents = [content for _, content in self._read.values() if content is not None]
        sums = self._read[until][1] if until else None
        records = [content for name in pieces if (content := self._read[name][1]) is not None]
        self._found = Records(
            () if sums is None else sums.records,
            tuple(record for content in records for record in content.records),
            sum(content.n_lost for content in contents),
            tuple(name for name in names if self._read[name][1] is None),
            sum(content.n_damaged for content in contents),
        )
        return self._found

    def _content(self, name: str, size: int) -> PieceContent[Any] | None:
        kept = self._read.get(name)
        if kept is not None and kept[0] == size:
            return kept[1]
        is_sum = self._kind.is_until(name)
        return read_content(
            self._objects, name, self._kind.sum_record if is_sum else self._kind.record
        )


def first_free_piece(objects: ObjectStore, prefix: str) -> int:
    """Return the number of the first piece of a driver, which may begin its work twice.

    Parameters
    ----------
    objects : ObjectStore
    prefix : str
        What names of its lease's pieces begin with; their numbers and a suffix follow.
    """
    used = [name.removeprefix(prefix).partition(".")[0] for name in objects.list(prefix)]
    return 1 + max((int(number) for number in used if number.isdigit()), default=0)


def read_content(
    objects: ObjectStore, name: str, record: Callable[[Row], R]
) -> PieceContent[R] | None:
    """Return what an object holds; None if it is gone or damaged."""
    try:
        return _content(objects.find(name) or b"", record)
    except (TypeError, ValueError, KeyError):
        return None


def _content(data: bytes, record: Callable[[Row], R]) -> PieceContent[R]:
    told = unsealed(data)
    if told["format"] != PIECES_FORMAT:
        raise ValueError(f"format {told['format']}")
    rows, lost, damaged = told["rows"], told["lost"], told["damaged"]
    if not isinstance(rows, list) or not isinstance(lost, int) or not isinstance(damaged, int):
        raise TypeError("wanted rows and numbers")
    return PieceContent(tuple(record(row) for row in rows if isinstance(row, list)), lost, damaged)


def _sealed_rows(rows: Sequence[bytes], n_lost: int = 0, n_damaged: int = 0) -> bytes:
    """Return rows that are JSON already as a sealed object; as `codec.sealed`, of parts."""
    content = b'"damaged":%d,"format":%d,"lost":%d,"rows":[%s]}' % (
        n_damaged,
        PIECES_FORMAT,
        n_lost,
        b",".join(rows),
    )
    checksum = hashlib.sha256(b"{" + content).hexdigest()
    return b'{"checksum":"%s",%s' % (checksum.encode(), content)
