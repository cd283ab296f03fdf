"""What a run gives back: verdict, corrections, history, and where the files are."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from alignsvc.domain.outcome import ExitCode, Status
from alignsvc.domain.result import ExposureResult
from alignsvc.numerics.solve.movement import Convergence
from alignsvc.numerics.sources.sharpness import Sharpening


@dataclass(frozen=True, slots=True)
class PassSummary:
    """A solved pass: its number, the largest movement, and what was solved from what."""

    number: int
    is_full: bool
    movement_px: float
    n_solved: int
    n_sources: int


@dataclass(frozen=True, slots=True)
class RunResult:
    """The end of a run.

    Parameters
    ----------
    directory : Path
        The run directory.
    verdict : Convergence
        How the loop ended.
    corrections : tuple of ExposureResult
        One a row of the table, in order of exposure id.
    history : tuple of PassSummary
    mosaic : tuple of Path
        The mosaic as FITS, one file a component; empty if not asked for.
    headers : tuple of Path
        Files with corrected headers.
    notes : tuple of str
        Sentences that the user should read.
    sharpening : Sharpening or None
        What became of the mosaic's sources; None where they were detected but once.
    """

    directory: Path
    verdict: Convergence
    corrections: tuple[ExposureResult, ...]
    history: tuple[PassSummary, ...]
    mosaic: tuple[Path, ...]
    headers: tuple[Path, ...]
    notes: tuple[str, ...]
    sharpening: Sharpening | None = None

    @property
    def counts(self) -> Counter[Status]:
        """Number of exposures of each status."""
        return Counter(result.status for result in self.corrections)

    @property
    def exit_code(self) -> ExitCode:
        """The contract's exit code."""
        return exit_code_of(self.verdict, self.counts)


def exit_code_of(verdict: Convergence, counts: Counter[Status]) -> ExitCode:
    """Return the exit code of a run that came to its end: 2, then 4, then 1, then 0."""
    if counts[Status.FAILED] and counts[Status.FAILED] == counts.total():
        return ExitCode.BAD_CONFIGURATION
    if verdict in (Convergence.STALLED, Convergence.DIVERGING, Convergence.MAX_ITERATIONS):
        return ExitCode.NOT_CONVERGED
    return ExitCode.SOME_FAILED if counts[Status.FAILED] else ExitCode.DONE
