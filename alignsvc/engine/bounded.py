"""A bound for what waits without one: libraries whose servers take a connection and say nothing."""

# distributed is typed in parts only.
# mypy: disable-error-code="no-untyped-call"

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

from distributed import Client
from distributed.security import Security

T = TypeVar("T")


def within(seconds: float, ask: Callable[[], T]) -> T:
    """Return what `ask` gives, or raise what it raises, if that takes no longer.

    It runs in a thread of its own, which is left alone when the time is over, and does not keep the
    process from its end: nothing may depend on what it does then.

    Raises
    ------
    TimeoutError
        It takes longer.
    """
    given: list[T] = []
    raised: list[BaseException] = []

    def wait() -> None:
        try:
            given.append(ask())
        except BaseException as error:  # noqa: BLE001 - it is raised below
            raised.append(error)

    thread = threading.Thread(target=wait, name="alignsvc-asking", daemon=True)
    thread.start()
    thread.join(seconds)
    if raised:
        error = raised.pop()
        try:
            raise error
        finally:
            # The error knows this frame: a circle would keep whatever it holds open.
            del error
    if not given:
        raise TimeoutError(f"no answer within {seconds:g} s")
    return given[0]


def connected(address: str, timeout_s: float, security: Security) -> Client:
    """Return a client of a dask scheduler.

    Raises
    ------
    OSError, TimeoutError
        Nobody answers there in time: dask bounds the connection, and not the first word.
    """
    return within(
        timeout_s,
        lambda: Client(address, timeout=timeout_s, security=security, set_as_default=False),
    )
