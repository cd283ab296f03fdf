"""The corrected headers of all aligned exposures, written while the next ones are worked out.

What a file costs is waiting until the disk has it: a few are written at a time, by threads that do
nothing else. What headers say is worked out here, one exposure after the other (astropy's
warnings are those of a whole process). Tasks would not do: who edits a user's file must hold the
lease, and a text of a few cards costs less than to hand it over.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace

from alignsvc.domain.outcome import Status
from alignsvc.domain.result import ExposureResult
from alignsvc.errors import FileNotWritten, HeaderError, ResourceError
from alignsvc.io.exposure_headers import ExposureHeader
from alignsvc.io.places import Place
from alignsvc.reasons import FailureKind
from alignsvc.run.finishing.headers import (
    Destination,
    HeaderSettings,
    HeadersToWrite,
    headers_to_write,
    journal_edit,
)
from alignsvc.run.stages.running import Tools

#: Exposures whose files are written at a time.
_WRITERS = 4
#: Exposures that a sentence names.
_NAMED = 5


@dataclass(frozen=True, slots=True, eq=False)
class Written:
    """Headers written: the rows as they stand after it, the files, and what to tell."""

    results: tuple[ExposureResult, ...]
    files: tuple[Place, ...]
    notes: tuple[str, ...]


def each_written(
    tools: Tools,
    results: Sequence[ExposureResult],
    headers: Mapping[str, ExposureHeader],
    settings: HeaderSettings,
) -> Written:
    """Write the headers of aligned exposures.

    Parameters
    ----------
    tools : Tools
    results : sequence of ExposureResult
    headers : mapping of exposure id to ExposureHeader
        Of those whose headers are to be written, if they are aligned.
    settings : HeaderSettings

    Raises
    ------
    ResourceError
        The disk refuses a file; what is missing is written when the run is resumed.
    """
    # In place, the journal says what a file became before the next one is touched.
    most = 1 if settings.destination is Destination.IN_PLACE else _WRITERS
    ended: list[Written] = []
    going: deque[_Begun] = deque()
    with ThreadPoolExecutor(most, "alignsvc-headers") as pool:
        try:
            for result in results:
                if len(going) == most:
                    ended.append(_ended(tools, going.popleft(), settings))
                tools.journal.require_ours()
                going.append(_begun(pool, result, headers.get(result.id), settings))
            while going:
                ended.append(_ended(tools, going.popleft(), settings))
        finally:
            for one in going:
                one.give_up()
    said: dict[str, list[str]] = {}
    for each in ended:
        for text in dict.fromkeys(each.notes):
            said.setdefault(text, []).extend(row.id for row in each.results)
    return Written(
        tuple(row for one in ended for row in one.results),
        tuple(file for one in ended for file in one.files),
        header_notes(said),
    )


def header_notes(warnings: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """Return what was said while headers were written, each text once with whose it is."""
    notes = []
    for text, names in warnings.items():
        more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
        notes.append(f"header of {', '.join(names[:_NAMED])}{more}: {text}")
    return tuple(notes)


@dataclass(frozen=True, slots=True, eq=False)
class _Begun:
    """An exposure whose headers are being written; without them, there is nothing to write."""

    result: ExposureResult
    header: ExposureHeader | None = None
    headers: HeadersToWrite | None = None
    written: Future[None] = field(default_factory=Future)

    def give_up(self) -> None:
        """Let go of what nobody has begun to write."""
        if self.written.cancel() and self.headers is not None:
            self.headers.close()


def _begun(
    pool: ThreadPoolExecutor,
    result: ExposureResult,
    header: ExposureHeader | None,
    settings: HeaderSettings,
) -> _Begun:
    if result.status is not Status.ALIGNED or header is None:
        return _Begun(result)
    try:
        headers = headers_to_write(header, result, settings)
    except HeaderError as error:
        return _Begun(_unwritable(result, error))
    return _Begun(result, header, headers, pool.submit(headers))


def _ended(tools: Tools, begun: _Begun, settings: HeaderSettings) -> Written:
    """Return what was written of an exposure, when it is."""
    if begun.headers is None or begun.header is None:
        return Written((begun.result,), (), ())
    try:
        begun.written.result()
    except FileNotWritten as error:
        raise ResourceError(
            f"{error}; mend that and `alignsvc resume {tools.run}`: only the end is left to do"
        ) from error
    except HeaderError as error:
        return Written((_unwritable(begun.result, error),), (), ())
    if settings.destination is Destination.IN_PLACE:
        journal_edit(tools.journal, begun.header, tools.plan.algorithms.images)
    return Written((begun.result,), begun.headers.files, begun.headers.warnings)


def _unwritable(result: ExposureResult, error: HeaderError) -> ExposureResult:
    return replace(
        result,
        status=Status.FAILED,
        reason=FailureKind.UNWRITABLE_WCS.value,
        message=str(error),
    )
