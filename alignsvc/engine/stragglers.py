"""Which tasks are started a second time, on another worker: a pure function of times."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True, slots=True)
class StragglerRule:
    """Whether a task is so much slower than others of its stage that another worker should try.

    Asked only where workers have nothing else to do. Whichever ends first counts: both make the
    same product, bit for bit. The idea is that of backup tasks (Dean & Ghemawat 2004).

    Parameters
    ----------
    slow_factor : float
        How many times as long as the median of those that ended it must have run.
    least_s : float
        And how long in any case: the worker of whichever comes second is restarted, which takes
        some seconds.
    least_ended : int
        How many must have ended before a median is believed.
    """

    slow_factor: float = 3.0
    least_s: float = 30.0
    least_ended: int = 3

    def __call__(self, running_s: float, ended_s: Sequence[float]) -> bool:
        """Return whether a task that has run for `running_s` is started a second time.

        Parameters
        ----------
        running_s : float
        ended_s : sequence of float
            Seconds that each task of the stage took that has ended, work that a receipt saved
            left out.
        """
        if running_s < self.least_s or len(ended_s) < self.least_ended:
            return False
        return running_s > self.slow_factor * median(ended_s)
