"""The pulls of a run: whether its sources scatter as the errors from their pixels say."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from alignsvc.domain.arrays import FloatArray, IntArray
from alignsvc.domain.measurement import Factors
from alignsvc.io.objects import ObjectStore
from alignsvc.io.tables import read_table
from alignsvc.numerics.solve.pulls import pulls_about_means, pulls_alone
from alignsvc.numerics.solve.sums import numbered
from alignsvc.run.records.state import RunState
from alignsvc.run.stages.solved_table import SolvedTable, pass_name

#: Exposures that are read for it, in order of id, which mostly puts neighbours beside each other:
#: some ten thousand sources tell, and a run of many thousands shall not be read through again.
MOST_EXPOSURES = 1000
#: Half width of the histogram, and of a bin.
_REACH, _WIDTH = 5.0, 0.25

_FLOOR = (
    "Errors are those that follow from the noise of the pixels alone. What sources scatter by "
    "besides (blends, motions, colours) the solve adds as an error floor, so that an rms above 1 "
    "here does not make the stated errors of corrections too small."
)
ABOUT_MEANS = (
    "Sources that were held out of the fit: residuals of their last measurement, by corrections "
    "that were found without them, about each source's weighted mean over its exposures, divided "
    "by the error of that difference; east and north apart. " + _FLOOR
)
ALONE = (
    "Sources that were held out of the fit: their distances in the last measurement from where "
    "the other exposures have them, by corrections that were found without them, divided by their "
    "errors, the other exposures' among them; east and north apart. " + _FLOOR
)


@dataclass(frozen=True, slots=True, eq=False)
class Pulls:
    """Pulls of held-out sources, as a histogram.

    Parameters
    ----------
    about : str
        What they are, in sentences.
    n : int
        How many; two a source and exposure.
    rms, half_width_68, largest : float
        1, 1, and about 4 for normal errors.
    edges : float64, shape (m + 1,)
    counts : int64, shape (m,)
        Without the `n_outside` that lie beyond the edges.
    n_outside : int
    n_read, n_exposures : int
        Exposures whose sources are in it, of those that there are.
    """

    about: str
    n: int
    rms: float
    half_width_68: float
    largest: float
    edges: FloatArray
    counts: IntArray
    n_outside: int
    n_read: int
    n_exposures: int

    @classmethod
    def of(cls, pulls: FloatArray, about: str, n_read: int, n_exposures: int) -> Pulls | None:
        """Return the histogram of pulls, shape (n, 2); None if there are none."""
        values = pulls[np.isfinite(pulls).all(axis=1)].ravel()
        if not len(values):
            return None
        edges = np.arange(-_REACH, _REACH + _WIDTH / 2, _WIDTH)
        counts = np.histogram(values, edges)[0]
        sizes = np.abs(values)
        return cls(
            about,
            len(values),
            float(np.sqrt(np.mean(values**2))),
            float(np.quantile(sizes, 0.6827)),
            float(sizes.max()),
            edges,
            counts,
            len(values) - int(counts.sum()),
            n_read,
            n_exposures,
        )

    def line(self) -> str:
        """Return them in a sentence."""
        some = f" (the first {self.n_read} of {self.n_exposures} exposures)"
        outside = f", {self.n_outside} beyond the axis" if self.n_outside else ""
        return (
            f"{self.n} pulls{some if self.n_read < self.n_exposures else ''}: rms {self.rms:.2f}, "
            f"68 % within {self.half_width_68:.2f}, largest {self.largest:.1f}{outside}; a unit "
            "normal has rms 1.00, 68 % within 1.00"
        )

    def as_json(self) -> dict[str, Any]:
        """Return them as JSON values."""
        return {
            "about": self.about,
            "n": self.n,
            "rms": self.rms,
            "half_width_68": self.half_width_68,
            "largest": self.largest,
            "edges": self.edges.tolist(),
            "counts": self.counts.tolist(),
            "outside": self.n_outside,
            "exposures_read": self.n_read,
            "exposures": self.n_exposures,
        }


def find_pulls(objects: ObjectStore, state: RunState, solver: str) -> Pulls | None:
    """Return the pulls of held-out sources, in the pass that measured what the run kept.

    Steps of that pass are taken off to first order, those of single chips are not: in a run that
    converged both are below ``eps_shift``.

    Parameters
    ----------
    objects : ObjectStore
    state : RunState
    solver : str
        ``alignment.solver``: by ``independent`` each exposure was compared with the others alone.

    Returns
    -------
    Pulls or None
        None if nothing was solved, or no source was held out.

    Raises
    ------
    DamagedProduct
        A table of the solve cannot be read.
    """
    last = len(state.solved_passes)
    if not last:
        return None
    kept = last if state.loop_end is None else state.loop_end.kept_pass
    solved = read_table(objects, pass_name(min(kept + 1, last)), SolvedTable)
    measured = [row for row, name in enumerate(solved.factors.tolist()) if name]
    held_out = list(_held_out(objects, solved, measured[:MOST_EXPOSURES]))
    if not held_out:
        return None
    rows, sources, residuals, informations = zip(*held_out, strict=True)
    residual, information = np.concatenate(residuals), np.concatenate(informations)
    if solver == "independent":
        pulls, about = pulls_alone(residual, information), ALONE
    else:
        # Components number their sources each for itself.
        component = np.repeat(solved.component[list(rows)] + 1, [len(one) for one in sources])
        source = numbered(np.concatenate(sources)) * (int(component.max(initial=0)) + 1) + component
        pulls, about = pulls_about_means(source, residual, information), ABOUT_MEANS
    return Pulls.of(pulls, about, len(held_out), len(measured))


def _held_out(
    objects: ObjectStore, solved: SolvedTable, rows: list[int]
) -> Iterator[tuple[int, IntArray, FloatArray, FloatArray]]:
    """Yield each exposure's row, and its held-out sources, their residuals and informations."""
    for row in rows:
        factors = read_table(objects, str(solved.factors[row]), Factors)
        some = factors.held_out
        step = solved.parameters[row] - solved.pass_start[row]
        residual = factors.residual[some] - factors.jacobian[some] @ step
        yield row, factors.source[some], residual, factors.information[some]
