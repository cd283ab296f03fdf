"""No wait is without end: not for who accepts a connection and then says nothing."""

from __future__ import annotations

import gc
import socket
import threading
import time
import weakref
from collections.abc import Iterator
from pathlib import Path

import pytest
from obstore import exceptions

from alignsvc.engine.base import RunContext
from alignsvc.engine.bounded import within
from alignsvc.engine.clusters import cluster_backend
from alignsvc.errors import TransientError
from alignsvc.io import bucket_clients
from alignsvc.io.objects import LocalObjects


@pytest.fixture
def silent() -> Iterator[int]:
    """The port of who accepts connections, and no more; what waits there ends with the test."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]
    for thread in threading.enumerate():
        if thread.name == "alignsvc-asking":
            thread.join(30)
            assert not thread.is_alive()


def test_what_an_error_holds_is_let_go_with_it() -> None:
    """An error that holds itself, by the frames it came through, would keep connections open."""

    class Held:
        pass

    def fails() -> None:
        held = Held()
        alive.append(weakref.ref(held))
        raise OSError(f"with {held}")

    alive: list[weakref.ref[Held]] = []
    gc.disable()
    try:
        with pytest.raises(OSError, match="with") as raised:
            within(10.0, fails)
        del raised
        assert alive[0]() is None
    finally:
        gc.enable()


@pytest.mark.parametrize(
    ("backend", "settings"),
    [
        ("scheduler", {"address": "tcp://127.0.0.1:{}", "connect_timeout_s": 0.2}),
        ("ssh", {"hosts": ["127.0.0.1"], "port": 0, "login_timeout_s": 0.2}),
    ],
)
def test_a_silent_host_is_waited_for_no_longer_than_is_said(
    backend: str, settings: dict[str, object], silent: int, tmp_path: Path
) -> None:
    for key, value in settings.items():
        settings[key] = silent if key == "port" else value
        if isinstance(value, str):
            settings[key] = value.format(silent)
    started = cluster_backend(backend, settings)
    with pytest.raises(TransientError, match=r"127\.0\.0\.1.*: no answer within 0.2 s .* resume"):
        started(RunContext(LocalObjects(tmp_path)))


def test_what_is_asked_in_time_comes_back_as_it_is() -> None:
    assert within(60.0, lambda: 3) == 3
    assert within(60.0, lambda: None) is None
    with pytest.raises(KeyError, match="no"):
        within(60.0, lambda: {}["no"])


def test_what_takes_too_long_is_left_alone() -> None:
    may_end = threading.Event()
    try:
        with pytest.raises(TimeoutError, match=r"no answer within 0\.05 s"):
            within(0.05, may_end.wait)
    finally:
        may_end.set()


def test_a_store_is_asked_again_only_while_that_is_no_long_wait(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(bucket_clients, "_FIRST_PAUSE_S", 0.0)
    asked: list[float] = []

    def no_answer() -> None:
        asked.append(time.monotonic())
        raise exceptions.GenericError("silence")

    for patience_s, n_asked in ((60.0, bucket_clients._OWN_TRIES), (0.0, 1)):
        monkeypatch.setattr(bucket_clients, "_PATIENCE_S", patience_s)
        asked.clear()
        with pytest.raises(exceptions.GenericError):
            bucket_clients.again(no_answer)
        assert len(asked) == n_asked
