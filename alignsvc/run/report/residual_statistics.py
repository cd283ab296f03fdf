"""How residuals are distributed over the exposures of a run, before the alignment and after."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from alignsvc.domain.arrays import FloatArray, IntArray
from alignsvc.domain.outcome import Status
from alignsvc.domain.result import ExposureResult

RESIDUALS_HEAD = ("", "exposures", "median [px]", "68 % below", "95 % below", "worst", "which")
#: Bins of the histogram, of equal widths in the logarithm.
_BINS = 24


@dataclass(frozen=True, slots=True)
class Distribution:
    """Of one number for each exposure.

    Parameters
    ----------
    n : int
        Exposures that have it.
    median, p68, p95, worst : float
        Half, 68 %, 95 % and all of them are at most so large; pixels of the exposure.
    worst_id : str
        Id of the exposure that has the largest.
    """

    n: int
    median: float
    p68: float
    p95: float
    worst: float
    worst_id: str

    @classmethod
    def of(cls, values: Mapping[str, float]) -> Distribution | None:
        """Return that of the finite values, by exposure id; None if there are none."""
        finite = {name: value for name, value in values.items() if math.isfinite(value)}
        if not finite:
            return None
        median, p68, p95 = np.quantile(list(finite.values()), (0.5, 0.68, 0.95)).tolist()
        worst = max(finite, key=lambda name: finite[name])
        return cls(len(finite), median, p68, p95, finite[worst], worst)

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {
            "exposures": self.n,
            "median": self.median,
            "p68": self.p68,
            "p95": self.p95,
            "worst": self.worst,
            "worst_exposure": self.worst_id,
        }

    @property
    def cells(self) -> tuple[str, ...]:
        """A row of the page after its name, in the order of `RESIDUALS_HEAD`."""
        numbers = (self.median, self.p68, self.p95, self.worst)
        return (str(self.n), *(f"{number:.4f}" for number in numbers), self.worst_id)


@dataclass(frozen=True, slots=True, eq=False)
class ResidualHistogram:
    """Exposures by the residual of their held-out sources; those with both numbers.

    Parameters
    ----------
    edges_px : float64, shape (n + 1,)
    before, after : int64, shape (n,)
    """

    edges_px: FloatArray
    before: IntArray
    after: IntArray


@dataclass(frozen=True, slots=True, eq=False)
class ResidualStatistics:
    """Residuals of the aligned exposures of a run, per axis.

    Parameters
    ----------
    before, after : Distribution or None
        How far held-out sources lie from the others by the input headers, and by the corrections
        that were found without them; None where none was judged.
    rmse : Distribution or None
        Of the sources that each fit used.
    histogram : ResidualHistogram or None
        Of `before` and `after`.
    """

    before: Distribution | None
    after: Distribution | None
    rmse: Distribution | None
    histogram: ResidualHistogram | None

    @property
    def rows(self) -> tuple[tuple[str, ...], ...]:
        """Rows of the page, in the order of `RESIDUALS_HEAD`."""
        named = (
            ("held-out sources, before", self.before),
            ("held-out sources, after", self.after),
            ("sources of the fits, rms", self.rmse),
        )
        return tuple((name, *one.cells) for name, one in named if one is not None)

    def as_json(self) -> dict[str, Any]:
        """Return them as JSON values."""
        drawn = self.histogram
        return {
            "held_out_before_px": None if self.before is None else self.before.as_json(),
            "held_out_after_px": None if self.after is None else self.after.as_json(),
            "rmse_px": None if self.rmse is None else self.rmse.as_json(),
            "histogram": None
            if drawn is None
            else {
                "edges_px": drawn.edges_px.tolist(),
                "before": drawn.before.tolist(),
                "after": drawn.after.tolist(),
            },
        }


def residual_statistics(corrections: Sequence[ExposureResult]) -> ResidualStatistics:
    """Return how residuals are distributed over the aligned exposures."""
    aligned = [row for row in corrections if row.status is Status.ALIGNED]
    before = {row.id: row.held_out.before_px for row in aligned}
    after = {row.id: row.held_out.after_px for row in aligned}
    return ResidualStatistics(
        Distribution.of(before),
        Distribution.of(after),
        Distribution.of({row.id: row.quality.rmse_px for row in aligned}),
        _histogram(np.array(list(before.values())), np.array(list(after.values()))),
    )


def _histogram(before: FloatArray, after: FloatArray) -> ResidualHistogram | None:
    with np.errstate(invalid="ignore"):
        drawn = np.isfinite(before) & np.isfinite(after) & (before > 0) & (after > 0)
    if not drawn.any():
        return None
    both = np.concatenate([before[drawn], after[drawn]])
    # Never narrower than a factor of two, and the extremes lie within.
    low, high = both.min() / 1.01, max(both.max() * 1.01, 2.0 * both.min())
    edges = np.geomspace(low, high, _BINS + 1)
    return ResidualHistogram(
        edges, np.histogram(before[drawn], edges)[0], np.histogram(after[drawn], edges)[0]
    )
