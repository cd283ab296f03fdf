"""What a run gives back: verdict, corrections, history, and where the files are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from alignsvc.domain.agreement import MethodAgreement, agreement_warnings
from alignsvc.domain.outcome import Convergence, ExitCode, Status
from alignsvc.domain.result import ExposureResult
from alignsvc.io.journal import Planned
from alignsvc.io.places import Place
from alignsvc.numerics.sources.sharpness import Sharpening
from alignsvc.wording import counted

#: Chips that a sentence names.
_NAMED = 12


class Completion(StrEnum):
    """How much of a run came home."""

    DONE = "done"  #: all that could be aligned is
    PARTIAL = "partial"  #: some exposures failed, or the loop did not converge
    FAILED = "failed"  #: none is usable, or more failed than the configuration allows


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
    directory : Place
        The run directory.
    verdict : Convergence
        How the loop ended.
    corrections : tuple of ExposureResult
        One a row of the table, in order of exposure id.
    history : tuple of PassSummary
    mosaic : tuple of Place
        The mosaic as FITS, one file a component; empty if not asked for.
    headers : tuple of Place
        Files with corrected headers.
    notes : tuple of str
        Sentences that the user should read.
    sharpening : Sharpening or None
        What became of the mosaic's sources; None where they were detected but once.
    agreement : tuple of MethodAgreement
        How the model's corrections differ from these, one an exposure, in order of id; empty
        unless ``alignment.method`` is both.
    ended_early : str
        Why the run ended before its loop did: `corrections` has those exposures only that had
        ended, none of them aligned. Empty if it came to its end.
    planned : Planned or None
        How many headers were read for it, and in what time: the largest reading.
    preview : Place or None
        A picture of the mosaic, PNG, of the largest component; None if there is none.
    copies : tuple of (str, str)
        Exposures whose pixels are those of another one, each with that one.
    """

    directory: Place
    verdict: Convergence
    corrections: tuple[ExposureResult, ...]
    history: tuple[PassSummary, ...]
    mosaic: tuple[Place, ...]
    headers: tuple[Place, ...]
    notes: tuple[str, ...]
    sharpening: Sharpening | None = None
    agreement: tuple[MethodAgreement, ...] = ()
    ended_early: str = ""
    planned: Planned | None = None
    preview: Place | None = None
    copies: tuple[tuple[str, str], ...] = ()

    @property
    def counts(self) -> Counter[Status]:
        """Number of exposures of each status."""
        return Counter(result.status for result in self.corrections)

    @property
    def warnings(self) -> tuple[str, ...]:
        """Sentences on what the counts do not say: what, whose chips, or methods, say otherwise."""
        apart = self._chips_apart()
        return (*copies_warning(self.copies), *apart, *agreement_warnings(self.agreement))

    def _chips_apart(self) -> tuple[str, ...]:
        apart = [(chip, row) for row in self.corrections for chip in row.chips_apart]
        if not apart:
            return ()
        names = sorted({chip.name for chip, _ in apart})
        more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
        worst, of = max(apart, key=lambda found: found[0].length_px)
        n = len({row.id for _, row in apart})
        return (
            f"{n} of {self.counts[Status.ALIGNED]} aligned exposures have chips for which their "
            f"corrections do not hold ({', '.join(names[:_NAMED])}{more}; {worst.name} of {of.id} "
            f"is off by {worst.length_px:.3f} +- {worst.error_px:.3f} px): the stated errors say "
            "so, and the mosaic has them where they are; set images.chip_offsets: true, which "
            "gives each chip its own",
        )

    @property
    def exit_code(self) -> ExitCode:
        """The contract's exit code."""
        if self.ended_early:
            return ExitCode.SOME_FAILED
        return exit_code_of(self.verdict, self.counts)


def copies_warning(copies: Sequence[tuple[str, str]]) -> tuple[str, ...]:
    """Return what is to be known of exposures given twice; nothing if there are none.

    Parameters
    ----------
    copies : sequence of (str, str)
        An exposure, and the one that has the same pixels.
    """
    if not copies:
        return ()
    named = ", ".join(f"{copy} of {of}" for copy, of in copies[:_NAMED])
    more = f" and {len(copies) - _NAMED} more" if len(copies) > _NAMED else ""
    return (
        f"{counted(len(copies), 'exposure has', 'exposures have')} the pixels of another one "
        f"({named}{more}): each is compared with its own noise, so that stated errors are too "
        "small and the mosaic counts it twice; leave the copies out of images.paths",
    )


def completion_of(result: RunResult) -> Completion:
    """Return how much of a run came home."""
    if result.ended_early or result.exit_code is ExitCode.BAD_CONFIGURATION:
        return Completion.FAILED
    return Completion.DONE if result.exit_code is ExitCode.DONE else Completion.PARTIAL


def exit_code_of(verdict: Convergence, counts: Counter[Status]) -> ExitCode:
    """Return the exit code of a run that came to its end: 2, then 4, then 1, then 0."""
    if counts[Status.FAILED] and counts[Status.FAILED] == counts.total():
        return ExitCode.BAD_CONFIGURATION
    if verdict in (Convergence.STALLED, Convergence.DIVERGING, Convergence.MAX_ITERATIONS):
        return ExitCode.NOT_CONVERGED
    return ExitCode.SOME_FAILED if counts[Status.FAILED] else ExitCode.DONE
