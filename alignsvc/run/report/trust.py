"""Whether to trust a run, in a word and in sentences: what a report begins with."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from alignsvc.domain.outcome import Convergence, ExitCode, Status, Verdict
from alignsvc.run.records.result import RunResult, completion_of
from alignsvc.run.report.contents import ReportContents
from alignsvc.wording import counted


class Trust(StrEnum):
    """What to do with the results of a run."""

    USE = "use it"  #: all that could be aligned is
    USE_IN_PART = "use what is aligned"  #: some exposures failed, or there are warnings
    LOOK = "look before you use it"  #: the loop did not converge
    NOTHING = "nothing to use"  #: nothing was aligned


@dataclass(frozen=True, slots=True)
class TrustLines:
    """An answer, its reasons in sentences, and how the run is headed."""

    trust: Trust
    heading: str
    lines: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {"answer": self.trust.value, "heading": self.heading, "lines": list(self.lines)}


def trust_of(contents: ReportContents) -> TrustLines:
    """Return whether to trust a run."""
    result = contents.result
    trust, why = _answer(result)
    lines = (f"{trust.value.capitalize()}: {why}", *_of_held_out(contents), *_of_pulls(contents))
    return TrustLines(trust, _heading(result), lines)


def _heading(result: RunResult) -> str:
    ended = completion_of(result).value if result.ended_early else result.verdict.value
    if not result.ended_early and not result.counts[Status.ALIGNED]:
        ended = "no exposure is aligned"  # a loop that had nobody to move has converged on nothing
    return f"{ended.replace('_', ' ')}, exit {int(result.exit_code)}"


def _answer(result: RunResult) -> tuple[Trust, str]:
    aligned, failed = result.counts[Status.ALIGNED], result.counts[Status.FAILED]
    written = "corrected headers are written" if result.headers else "no headers are written"
    if result.ended_early:
        return Trust.NOTHING, f"the run ended before its loop did, {written}. {result.ended_early}"
    if result.exit_code is ExitCode.BAD_CONFIGURATION:
        return Trust.NOTHING, "every exposure failed."
    if not aligned:
        return Trust.NOTHING, "no exposure is aligned; the reasons are below."
    if result.exit_code is ExitCode.NOT_CONVERGED:
        return Trust.LOOK, (
            f"the loop did not converge ({result.verdict.value.replace('_', ' ')}). The "
            f"corrections are those of its best pass; {written}."
        )
    if failed:
        return Trust.USE_IN_PART, (
            f"the loop converged and {counted(aligned, 'exposure is', 'exposures are')} aligned; "
            f"{counted(failed, 'that failed is', 'that failed are')} left out. "
            f"{written.capitalize()}."
        )
    found = f"the loop converged and {counted(aligned, 'exposure is', 'exposures are')} aligned"
    if result.warnings:
        return Trust.USE_IN_PART, f"{found}, but there are warnings. {written.capitalize()}."
    return Trust.USE, f"{found}. {written.capitalize()}."


def _of_held_out(contents: ReportContents) -> tuple[str, ...]:
    """Return what sources say that no fit used."""
    if contents.result.ended_early:
        return ()
    judged = [row for row in contents.result.corrections if row.correction is not None]
    worse = [row for row in contents.result.corrections if row.verdict is Verdict.WORSE]
    counts: Counter[Verdict] = Counter(
        row.verdict for row in judged if row.verdict is not Verdict.WORSE
    )
    told = ", ".join(f"{counts[one]} {one.value}" for one in Verdict if counts[one])
    if worse:
        told += f"{', ' if told else ''}{len(worse)} worse and put back to their input headers"
    if not told:
        return ()
    before, after = contents.residuals.before, contents.residuals.after
    if before is None or after is None:
        return (f"By sources that were held out of the fit: {told}.",)
    return (
        f"By sources that were held out of the fit: {told}. A typical one lies "
        f"{after.median:.4f} px per axis from where the others have it, its own noise included, "
        f"{before.median:.4f} px before; in 95 % of the exposures at most {after.p95:.4f} px, "
        f"{before.p95:.4f} px before; in the worst, {after.worst_id}, {after.worst:.4f} px.",
        *_of_last_step(contents.result),
    )


def _of_last_step(result: RunResult) -> tuple[str, ...]:
    """Return what is to be known of the residuals after a loop that did not converge."""
    moved = [one.movement_px for one in result.history]
    if result.verdict is Convergence.CONVERGED or not moved or min(moved) < moved[-1]:
        return ()
    return (
        f"These are of the last measurement, which came before the last step of {moved[-1]:.4f} px "
        "and not after it.",
    )


def _of_pulls(contents: ReportContents) -> tuple[str, ...]:
    if contents.pulls is None:
        return ()
    return (f"Errors: {contents.pulls.line()}.",)
