"""How many sources a correction rests on, told the same way wherever it is told."""

from __future__ import annotations

from alignsvc.domain.result import FitQuality

#: Heads of `counts_cells` in a table.
COUNTS_HEAD = ("sources used", "held out", "rejected", "of")


def counts_cells(quality: FitQuality) -> tuple[str, ...]:
    """Return the numbers in the order of `COUNTS_HEAD`; the first three add up to the last."""
    return tuple(
        str(n) for n in (quality.n_used, quality.n_held_out, quality.n_rejected, quality.n_sources)
    )


def counts_text(quality: FitQuality) -> str:
    """Return what became of the sources of an exposure; the numbers add up."""
    return (
        f"{quality.n_used} used in the fit, {quality.n_held_out} held out, "
        f"{quality.n_rejected} rejected, of {quality.n_sources}"
    )


def counts_json(quality: FitQuality) -> dict[str, int]:
    """Return the same as JSON values."""
    return {
        "n_sources": quality.n_sources,
        "n_used": quality.n_used,
        "n_held_out": quality.n_held_out,
        "n_rejected": quality.n_rejected,
    }
