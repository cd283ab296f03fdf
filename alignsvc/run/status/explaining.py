"""All that happened to one exposure of a run, from the run's store and the exposure's header."""

from __future__ import annotations

import difflib
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np

from alignsvc.config.build import image_settings
from alignsvc.config.schema import Config
from alignsvc.domain.outcome import Status
from alignsvc.domain.result import ExposureResult, FitQuality
from alignsvc.errors import ConfigError, DataError, RunStoreError
from alignsvc.io import journal
from alignsvc.io.corrections_table import read_corrections
from alignsvc.io.exposure_files import ExposureCandidate, find_exposures
from alignsvc.io.exposure_headers import inspect_exposure
from alignsvc.io.journal_store import Entry, Journal
from alignsvc.io.locations import CORRECTIONS, RunLocations
from alignsvc.io.objects import ObjectStore
from alignsvc.io.places import Place
from alignsvc.io.run_logs import LogKind, LogLine, log_lines
from alignsvc.io.tables import read_table
from alignsvc.reasons import NEXT_STEP, REASON_TEXT, FailureKind, SkipReason
from alignsvc.run.extension.extending import earlier_in
from alignsvc.run.records.identity import fingerprints_among
from alignsvc.run.records.state import RunState, after_all
from alignsvc.run.records.stored import stored_config
from alignsvc.run.stages.solved_table import SolvedTable
from alignsvc.run.status.source_counts import counts_json, counts_text

#: Ids that a sentence names of those that are like a wrong one.
_NEAREST = 3


@dataclass(frozen=True, slots=True)
class PassOfExposure:
    """What a pass found of an exposure.

    Parameters
    ----------
    number : int
    is_full : bool
        Whether sources were detected anew.
    quality : FitQuality
        Of the pass's own fit; nothing where it was not solved.
    movement_px : float
        NaN where it was not solved.
    """

    number: int
    is_full: bool
    quality: FitQuality
    movement_px: float

    def line(self) -> str:
        """Return it in a sentence."""
        full = " (full)" if self.is_full else ""
        if not np.isfinite(self.movement_px):
            return f"pass {self.number}{full}: not solved"
        return (
            f"pass {self.number}{full}: sources {counts_text(self.quality)}; rmse "
            f"{self.quality.rmse_px:.4f} px, moved {self.movement_px:.4f} px"
        )


@dataclass(frozen=True, slots=True)
class Happened:
    """Something that happened to an exposure, and when (s since 1970)."""

    time_s: float
    text: str

    def line(self) -> str:
        """Return it in a sentence."""
        when = datetime.fromtimestamp(self.time_s, UTC).strftime("%Y-%m-%d %H:%M:%S")
        return f"{when} UTC  {self.text}"


@dataclass(frozen=True, slots=True)
class ExposureInput:
    """What an exposure is made of.

    Parameters
    ----------
    files : tuple of str
    fingerprint : str
        By which the run knows it; empty if its header could not be read.
    chips : tuple of str
        As they are in the files now.
    trouble : str
        Why they cannot be read now, empty if they can.
    """

    files: tuple[str, ...] = ()
    fingerprint: str = ""
    chips: tuple[str, ...] = ()
    trouble: str = ""


@dataclass(frozen=True, slots=True)
class Explanation:
    """All that happened to an exposure.

    Parameters
    ----------
    exposure : str
    status : str
        ``going``, or as in the table of corrections.
    reason : str
        A word of the closed lists of `alignsvc.reasons`, empty if it is aligned or goes on.
    sentence, next_step : str
        What the word means, and what to do about it.
    message : str
        Of this very exposure.
    input : ExposureInput
    passes : tuple of PassOfExposure
    happened : tuple of Happened
        In order of time.
    verdict : str
        What held-out sources say; empty before they were asked.
    final : FitQuality or None
        Of the correction that the run has left, as in its report; None before it ended.
    """

    exposure: str
    status: str
    reason: str
    sentence: str
    next_step: str
    message: str
    input: ExposureInput
    passes: tuple[PassOfExposure, ...]
    happened: tuple[Happened, ...]
    verdict: str = ""
    final: FitQuality | None = None

    def lines(self) -> list[str]:
        """Return it in sentences."""
        reason = f": {self.reason}" if self.reason else ""
        verdict = f", {self.verdict} by held-out sources" if self.verdict else ""
        lines = [f"{self.exposure}: {self.status}{reason}{verdict}"]
        lines += [f"  {text}" for text in (self.sentence, self.message) if text]
        if self.next_step:
            lines.append(f"  what to do: {self.next_step}")
        lines += [f"file: {file}" for file in self.input.files]
        if self.input.fingerprint:
            lines.append(f"fingerprint: {self.input.fingerprint}")
        lines += [f"chip: {chip}" for chip in self.input.chips]
        if self.input.trouble:
            lines.append(f"its files now: {self.input.trouble}")
        lines += [one.line() for one in self.passes]
        if self.final is not None and self.final.n_sources:
            lines.append(
                f"in the end: sources {counts_text(self.final)}; rmse {self.final.rmse_px:.4f} px"
            )
        return lines + [one.line() for one in self.happened]

    def as_json(self) -> dict[str, object]:
        """Return it as JSON values; NaN becomes null."""
        return {
            "id": self.exposure,
            "status": self.status,
            "reason": self.reason,
            "sentence": self.sentence,
            "message": self.message,
            "next_step": self.next_step,
            "verdict": self.verdict,
            "files": list(self.input.files),
            "fingerprint": self.input.fingerprint,
            "chips": list(self.input.chips),
            "files_now": self.input.trouble,
            "passes": [
                {
                    "number": one.number,
                    "full": one.is_full,
                    **counts_json(one.quality),
                    "rmse_px": _number(one.quality.rmse_px),
                    "movement_px": _number(one.movement_px),
                }
                for one in self.passes
            ],
            "final": None if self.final is None else counts_json(self.final),
            "happened": [{"time_s": one.time_s, "text": one.text} for one in self.happened],
        }


def explain_exposure(run: Place, exposure: str) -> Explanation:
    """Return all that happened to an exposure of a run.

    Parameters
    ----------
    run : Place
    exposure : str
        Its id.

    Raises
    ------
    ConfigError
        The run has no exposure of that id; the nearest ids are named.
    RunStoreError
        There is no run, or its journal cannot be trusted.
    """
    run = run.absolute()
    config, objects = stored_config(run), RunLocations(run).objects
    entries = tuple(Journal(objects, time.time).entries())
    state = _state(entries)
    rows = _rows(run, state)
    found = _candidates(run, config)
    known = fingerprints_among(state.parts)
    ids = {*known, *state.ended, *rows, *found.files}
    if exposure not in ids:
        raise _unknown(run, exposure, sorted(ids))
    happened = (*_of_journal(entries, exposure), *_of_log(objects, exposure))
    end, row = state.ended.get(exposure), rows.get(exposure)
    reason = row.reason if row is not None else "" if end is None else end.reason
    word = _word(reason)
    return Explanation(
        exposure=exposure,
        status=_status(state, end, row),
        reason=reason,
        sentence="" if word is None else REASON_TEXT[word],
        next_step="" if word is None else NEXT_STEP[word].replace("RUN", str(run)),
        message=_message(entries, exposure) if reason else "",
        input=_input(config, exposure, found, known.get(exposure, "")),
        passes=tuple(_passes(objects, state, exposure)),
        happened=tuple(sorted(happened, key=lambda one: one.time_s)),
        verdict=state.verdicts[exposure].verdict.value if exposure in state.verdicts else "",
        final=None if row is None else row.quality,
    )


def _state(entries: Sequence[Entry]) -> RunState:
    state = RunState()
    for entry in entries:
        state = after_all(state, (entry.event,))
    return state


def _rows(run: Place, state: RunState) -> Mapping[str, ExposureResult]:
    if not state.is_finished:
        return {}
    return {row.id: row for row in read_corrections(RunLocations(run).path(CORRECTIONS))}


@dataclass(frozen=True, slots=True)
class _Candidates:
    """Files by exposure id, or why they are not to be found."""

    files: Mapping[str, ExposureCandidate]
    trouble: str = ""


def _candidates(run: Place, config: Config) -> _Candidates:
    """Return which files make which exposure, as they are now."""
    try:
        earlier = earlier_in(run, config)
        also = earlier.files if earlier is not None else ()
        found = find_exposures(config.images.paths, image_settings(config.images), also)
    except (ConfigError, RunStoreError) as error:
        return _Candidates({}, str(error))
    return _Candidates({one.id: one for one in found.candidates})


def _input(config: Config, exposure: str, found: _Candidates, fingerprint: str) -> ExposureInput:
    candidate = found.files.get(exposure)
    if candidate is None:
        return ExposureInput((), fingerprint, (), found.trouble or "they are not there any more")
    try:
        header = inspect_exposure(candidate, image_settings(config.images))
    except DataError as error:
        return ExposureInput(candidate.files, fingerprint, (), str(error))
    chips = tuple(
        f"{chip.name}, {wcs.shape[1]} x {wcs.shape[0]} px"
        for chip, wcs in zip(header.ref.chips, header.wcs, strict=True)
    )
    changed = fingerprint not in ("", header.ref.fingerprint)
    note = "their headers or sizes are not those that the run has seen" if changed else ""
    return ExposureInput(candidate.files, fingerprint, chips, note)


def _unknown(run: Place, exposure: str, ids: Sequence[str]) -> ConfigError:
    near = difflib.get_close_matches(exposure, ids, n=_NEAREST, cutoff=0.4) or ids[:_NEAREST]
    return ConfigError(
        f"{run}: no exposure {exposure!r} among {len(ids)}; the nearest ids are: "
        f"{', '.join(near) or '(none)'}"
    )


def _word(reason: str) -> SkipReason | FailureKind | None:
    for words in (SkipReason, FailureKind):
        if reason in {word.value for word in words}:
            return words(reason)
    return None


def _status(state: RunState, end: journal.ExposureEnded | None, row: ExposureResult | None) -> str:
    if row is not None:
        return row.status.value
    if end is not None:
        return end.status.value
    return Status.ALIGNED.value if state.is_finished else "going"


def _message(entries: Sequence[Entry], exposure: str) -> str:
    """Return the last sentence on how it ended."""
    ends = [e.event for e in entries if isinstance(e.event, journal.ExposureEnded)]
    return next((end.message for end in reversed(ends) if end.exposure == exposure), "")


def _of_journal(entries: Sequence[Entry], exposure: str) -> Iterator[Happened]:
    number = 0
    for entry in entries:
        text = ""
        match entry.event:
            case journal.PassStarted() as begun:
                number = begun.pass_number
            case journal.ExposureEnded() as end if end.exposure == exposure:
                where = f" in pass {number}" if number else ""
                text = f"{end.status.value}{where} ({end.reason}): {end.message}"
            case journal.VerdictGiven() as given if given.exposure == exposure:
                text = verdict_text(given)
            case journal.HeaderApplied() as applied if applied.exposure == exposure:
                text = f"header written in {applied.file}"
            case journal.HeaderReverted() as reverted if reverted.exposure == exposure:
                text = f"header put back in {reverted.file}"
            case journal.Retried() as retried:
                number = 0
                also = "it is tried again" if exposure in retried.exposures else "others are"
                text = f"the loop begins anew: {also}"
            case journal.Cleaned():
                number, text = 0, "the loop begins anew: its pixels were removed"
        if text:
            yield Happened(entry.time_s, text)


def verdict_text(given: journal.VerdictGiven) -> str:
    """Return what held-out sources said, in a sentence."""
    if not np.isfinite([given.before_px, given.after_px]).all():
        return f"held-out sources: {given.verdict.value}, as too few could be held out"
    return (
        f"held-out sources: {given.verdict.value}, {given.before_px:.4f} px off before, "
        f"{given.after_px:.4f} px after"
    )


def _of_log(objects: ObjectStore, exposure: str) -> Iterator[Happened]:
    """Yield what drivers noted of its tasks: retries, dead workers, tasks that did not go well."""
    said = {
        LogKind.TASK_RETRIED: "tried again",
        LogKind.TASK_DOUBLED: "started on a second worker",
        LogKind.TASK_SKIPPED: "skipped",
        LogKind.TASK_FAILED: "failed",
    }
    for line in log_lines(objects):
        if line.subject == exposure and line.what in said:
            yield _told(line, said[line.what])


def _told(line: LogLine, how: str) -> Happened:
    return Happened(line.time_s, f"{line.stage.replace('_', ' ')} {how}: {line.text}")


def _passes(objects: ObjectStore, state: RunState, exposure: str) -> Iterator[PassOfExposure]:
    """Yield what each solved pass found, from its table; passes without one are left out."""
    for record in state.solved_passes:
        assert record.solution is not None
        if not objects.exists(record.solution.table):
            continue
        table = read_table(objects, record.solution.table, SolvedTable, record.solution.digest)
        rows = np.flatnonzero(table.id == exposure)
        if len(rows) == 0:
            continue
        row = int(rows[0])
        yield PassOfExposure(
            record.number,
            record.is_full,
            table.quality_of(row),
            float(table.move_px[row]),
        )


def _number(value: float) -> float | None:
    return value if np.isfinite(value) else None
