"""The journal of a run: its events in order, written by the one driver that owns the run.

One object per event, ``journal/00000001.json`` and on, each put only if it is absent and sealed
by a checksum: an event is whole or was never written, and a driver that slept while another took
over finds its next number taken and stops. Whoever wants the state of a run folds the events;
times are for people and take no part in it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from alignsvc.errors import RunStoreError
from alignsvc.io.codec import Json, json_from, sealed, unsealed, value_from
from alignsvc.io.journal import EVENT_TYPES, Event, EventKind
from alignsvc.io.locations import FORMAT_VERSION, JOURNAL
from alignsvc.io.objects import ObjectStore


@dataclass(frozen=True, slots=True)
class Entry:
    """An event in its place.

    Parameters
    ----------
    sequence : int
        1, 2, 3, ... without gaps.
    time_s : float
        When it was written, by the driver's clock (for people; no state depends on it).
    event : Event
    """

    sequence: int
    time_s: float
    event: Event


def _nobody(entry: Entry) -> None:
    """Take no notice."""


class Journal:
    """The events of one run: read by anyone, appended to by the driver that holds the lease.

    Parameters
    ----------
    objects : ObjectStore
    clock : callable
        Seconds since 1970.
    told : callable
        Takes each entry that is written.
    """

    def __init__(
        self,
        objects: ObjectStore,
        clock: Callable[[], float],
        told: Callable[[Entry], None] = _nobody,
    ) -> None:
        self._objects = objects
        self._clock = clock
        self._told = told
        self._last: int | None = None

    def append(self, event: Event) -> Entry:
        """Write `event` as the next one.

        Raises
        ------
        RunStoreError
            Another driver wrote in the meantime; this one must stop.
        """
        if self._last is None:
            self._last = len(self._names())
        entry = Entry(self._last + 1, self._clock(), event)
        if not self._objects.put_if_absent(_name(entry.sequence), bytes_from_entry(entry)):
            raise _taken_over(entry.sequence)
        self._last = entry.sequence
        self._told(entry)
        return entry

    def require_ours(self) -> None:
        """Stop a driver that another one has taken over from, before it writes what is not new.

        Events fence themselves. What replaces or removes something (a pointer, a table, a header)
        is preceded by this: the first that a new driver does is to write an event.

        Raises
        ------
        RunStoreError
            Somebody wrote an event after the last one that this journal read or wrote.
        """
        if self._last is not None and self._objects.exists(_name(self._last + 1)):
            raise _taken_over(self._last + 1)

    def entries(self, after: int = 0) -> Iterator[Entry]:
        """Yield the events in order, with their numbers and times.

        Whoever has read to the end and appends then does so only if nobody else has meanwhile.

        Parameters
        ----------
        after : int
            How many are known already.

        Raises
        ------
        RunStoreError
            An event is missing, damaged, or of another format.
        """
        names = self._names()
        contents = self._objects.get_each(names[after:])
        for sequence, content in enumerate(contents, start=after + 1):
            try:
                entry = entry_from_bytes(content, sequence)
            except RunStoreError as error:
                raise RunStoreError(f"{self._objects.root}: {error}") from error
            yield entry
        if self._last is None:
            self._last = len(names)

    def events(self) -> Iterator[Event]:
        """Yield the events in order; errors as in `entries`."""
        return (entry.event for entry in self.entries())

    def _names(self) -> tuple[str, ...]:
        names = self._objects.list(JOURNAL)
        for sequence, name in enumerate(names, start=1):
            if name != _name(sequence):
                raise RunStoreError(
                    f"{self._objects.root}: journal: found {name} where {_name(sequence)} was "
                    "wanted; the run directory is not complete, restore it or start a new run"
                )
        return names


def _taken_over(sequence: int) -> RunStoreError:
    return RunStoreError(
        f"journal: event {sequence} was written by another driver; this one stops, the other goes "
        "on"
    )


def bytes_from_entry(entry: Entry) -> bytes:
    """Return an entry as it is stored: JSON with a checksum."""
    envelope: dict[str, Json] = {
        "format": FORMAT_VERSION,
        "sequence": entry.sequence,
        "time_s": json_from(entry.time_s, float),
        "kind": entry.event.kind.value,
        "body": json_from(entry.event, type(entry.event)),
    }
    return sealed(envelope)


def entry_from_bytes(content: bytes, sequence: int) -> Entry:
    """Return the entry that `bytes_from_entry` wrote, and that should be number `sequence`.

    Raises
    ------
    RunStoreError
        Damaged, of another format, or another event's content.
    """
    where = f"journal: {_name(sequence)}"
    try:
        envelope = unsealed(content)
        if envelope["format"] == FORMAT_VERSION:
            return _entry_from(envelope, sequence)
    except (KeyError, TypeError, ValueError) as error:
        raise RunStoreError(
            f"{where} is damaged ({error}); restore it or start a new run"
        ) from error
    raise RunStoreError(
        f"{where} is in format {envelope['format']}, this version of alignsvc reads format "
        f"{FORMAT_VERSION}; resume with the version that began the run, or begin it anew with "
        "`alignsvc run CONFIG --new`"
    )


def _entry_from(envelope: dict[str, Json], sequence: int) -> Entry:
    if envelope["sequence"] != sequence:
        raise ValueError(f"it holds event {envelope['sequence']}")
    kind = EventKind(value_from(envelope["kind"], str))
    type_ = next(type_ for type_ in EVENT_TYPES if type_.kind is kind)
    return Entry(
        sequence, value_from(envelope["time_s"], float), value_from(envelope["body"], type_)
    )


def _name(sequence: int) -> str:
    return f"{JOURNAL}{sequence:08d}.json"
