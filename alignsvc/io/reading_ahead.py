"""Reading what comes next while what came before is looked at, where each answer takes its time."""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import chain, islice
from typing import TypeVar, TypeVarTuple

K = TypeVar("K")
T = TypeVar("T")
Asked = TypeVarTuple("Asked")


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


class Readers:
    """Threads that read what may be wanted later; they end with their process, whatever waits.

    Those of `ThreadPoolExecutor` would go on at its end until all was read that was asked for.

    Parameters
    ----------
    n_threads : int
        At the most; each is started when it is needed first.
    """

    def __init__(self, n_threads: int) -> None:
        self._n_threads = n_threads
        self._threads: list[threading.Thread] = []
        self._asked: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()

    def submit(self, do: Callable[[*Asked], T], *asked: *Asked) -> Future[T]:
        """Call a function in its turn; return what is to hold its result."""
        wanted: Future[T] = Future()

        def answer() -> None:
            if not wanted.set_running_or_notify_cancel():
                return
            try:
                wanted.set_result(do(*asked))
            except BaseException as error:  # noqa: BLE001 - raised where the result is asked for
                wanted.set_exception(error)

        self._asked.put(answer)
        if len(self._threads) < self._n_threads:
            thread = threading.Thread(target=self._work, name="reading ahead", daemon=True)
            self._threads.append(thread)
            thread.start()
        return wanted

    def _work(self) -> None:
        while True:
            self._asked.get()()
