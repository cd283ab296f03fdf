"""Reading what comes next while what came before is looked at, where each answer takes its time."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import chain, islice
from typing import TypeVar

K = TypeVar("K")
T = TypeVar("T")


def read_ahead(get: Callable[[K], T], names: Iterable[K], n_ahead: int) -> Iterator[T]:
    """Yield what `get` returns for each name, in the order of the names.

    As many as `n_ahead` are asked for at once, and no more than that lie ready. What `get` raises
    for a name is raised in that name's turn, whatever later ones brought; who stops there waits
    for no answer that is still on its way.

    Parameters
    ----------
    get : callable
        Is called in threads.
    names : iterable
    n_ahead : int
        One or more.
    """
    left = iter(names)
    first = [*islice(left, 2)]
    if len(first) < 2:  # the news of a run that is watched: no thread is worth it
        yield from map(get, first)
        return
    readers = ThreadPoolExecutor(n_ahead, thread_name_prefix="reading ahead")
    try:
        waiting: deque[Future[T]] = deque()
        left = chain(first, left)
        waiting.extend(readers.submit(get, name) for name in islice(left, n_ahead))
        while waiting:
            content = waiting.popleft().result()
            waiting.extend(readers.submit(get, name) for name in islice(left, 1))
            yield content
    finally:
        readers.shutdown(wait=False, cancel_futures=True)
