"""Which sources are measured together: those whose templates are about equally wide.

Templates of a chunk are as wide as its widest needs, so each pixel that the others do not need is
work for nothing. A chunk of few sources is mostly the cost of the calls. Between the two lies the
division of least work, which depends on the sources alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import accumulate

import numpy as np

from alignsvc.domain.arrays import IntArray

#: Pixels of templates worked on at once: so few that planes of 2 MB stay near the processor, and
#: so many that the calls hardly count (4 % of a measurement more with half as many).
PIXELS_AT_ONCE = 1 << 19
#: Pixels of templates whose work is that of the calls for one chunk, however few its sources.
PIXELS_PER_CHUNK = 1 << 15


def chunks_of_least_work(side: IntArray) -> Iterator[IntArray]:
    """Yield indices of the sources of each chunk, by how wide their templates have to be.

    Parameters
    ----------
    side : int64 array, shape (n,)
        Pixels along a side of the template that each source needs.

    Notes
    -----
    Sources by their sides are cut into runs, and runs into equal parts of at most
    `PIXELS_AT_ONCE`. The work up to some source is that of the runs before its own, plus its
    own run's: the least is found from the narrowest source to the widest.
    """
    order = np.argsort(side, kind="stable")
    sides, counts = np.unique(side, return_counts=True)
    ends = [0, *accumulate(counts.tolist())]
    least, starts = [0], [0]
    for last in range(1, len(ends)):
        wide = int(sides[last - 1])
        work = [least[i] + _work(ends[last] - ends[i], wide) for i in range(last)]
        least.append(min(work))
        starts.append(work.index(least[-1]))
    runs = []
    last = len(ends) - 1
    while last:
        runs.append((starts[last], last))
        last = starts[last]
    for first, last in reversed(runs):
        members = order[ends[first] : ends[last]]
        yield from np.array_split(members, _parts(len(members), int(sides[last - 1])))


def _work(n: int, side: int) -> int:
    """Return the work of `n` sources with templates of a side, in pixels."""
    return n * side**2 + _parts(n, side) * PIXELS_PER_CHUNK


def _parts(n: int, side: int) -> int:
    """Return in how many parts sources are worked on."""
    return -(-n // max(PIXELS_AT_ONCE // side**2, 1))
