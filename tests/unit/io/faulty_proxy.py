"""A proxy before an object server that loses, delays and cuts answers, as a network does."""

from __future__ import annotations

import http.client
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TypeAlias
from urllib.parse import urlsplit

import numpy as np


class Fault(StrEnum):
    """What becomes of a request."""

    NONE = "none"
    REFUSED = "503 instead of an answer"
    LOST = "done, and 500 for an answer"
    DROPPED = "done, and no answer: the connection is closed"
    UNHEARD = "not done, and the connection is closed"
    CUT = "the connection is closed in the middle of the answer"
    SLOW = "done, and answered later than anybody waits"
    FORBIDDEN = "403"
    UNCONDITIONAL = "done, whatever its conditions"


#: Faults of which the next try knows nothing.
PASSING = (Fault.REFUSED, Fault.LOST, Fault.DROPPED, Fault.UNHEARD, Fault.CUT)

#: What becomes of a request, by its method, its path, and how many such there were before.
Plan: TypeAlias = Callable[[str, str, int], Fault]


def once(fault: Fault, method: str) -> Plan:
    """Let something happen to the first request of a method for each path."""
    return lambda verb, path, before: fault if verb == method and before == 0 else Fault.NONE


def always(fault: Fault) -> Plan:
    """Let something happen to every request."""
    return lambda method, path, before: fault


def at_random(seed: int, share: float, slow_share: float = 0.0) -> Plan:
    """Let something happen to a share of the requests, never three times in a row for a path."""
    random, lock = np.random.default_rng(seed), threading.Lock()

    def plan(method: str, path: str, before: int) -> Fault:
        with lock:
            drawn, which = random.random(), int(random.integers(len(PASSING)))
        if before % 3 == 2 or drawn > share + slow_share:
            return Fault.NONE
        return Fault.SLOW if drawn > share else PASSING[which]

    return plan


@dataclass
class FaultyProxy:
    """A proxy, what it does, and what it did."""

    address: str
    plan: Plan = field(default_factory=lambda: always(Fault.NONE))
    slow_s: float = 0.5
    happened: Counter[Fault] = field(default_factory=Counter)
    _before: Counter[str] = field(default_factory=Counter)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def next_fault(self, method: str, path: str) -> Fault:
        """Return what becomes of a request, and count it."""
        with self._lock:
            before = self._before[f"{method} {path}"]
            self._before[f"{method} {path}"] += 1
            fault = self.plan(method, path, before)
            self.happened[fault] += 1
        return fault


@contextmanager
def faulty_proxy(server: str) -> Iterator[FaultyProxy]:
    """Stand before the server at an address, ``http://host:port``."""
    behind = urlsplit(server).netloc

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def pass_on(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            fault = proxy.next_fault(self.command, self.path)
            if fault is Fault.UNHEARD:
                self.close_connection = True
                return
            if fault in (Fault.REFUSED, Fault.FORBIDDEN):
                self.give(503 if fault is Fault.REFUSED else 403, {}, b"")
                return
            headers = dict(self.headers)
            if fault is Fault.UNCONDITIONAL:
                headers = {k: v for k, v in headers.items() if k.lower() != "if-none-match"}
            connection = http.client.HTTPConnection(behind, timeout=60)
            try:
                connection.request(self.command, self.path, body, headers)
                answer = connection.getresponse()
                content = answer.read()
                self.answer(fault, answer, content)
            finally:
                connection.close()

        do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = pass_on

        def answer(self, fault: Fault, answer: http.client.HTTPResponse, content: bytes) -> None:
            if fault is Fault.LOST:
                self.give(500, {}, b"")
            elif fault is Fault.DROPPED:
                self.close_connection = True
            else:
                if fault is Fault.SLOW:
                    time.sleep(proxy.slow_s)
                kept = {
                    name: value
                    for name, value in answer.getheaders()
                    if name.lower() not in ("connection", "transfer-encoding", "content-length")
                }
                if self.command == "HEAD":
                    kept["Content-Length"] = answer.getheader("Content-Length", "0")
                self.give(answer.status, kept, content, cut=fault is Fault.CUT)

        def give(
            self, status: int, headers: dict[str, str], content: bytes, *, cut: bool = False
        ) -> None:
            try:
                self.send_response_only(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                if "Content-Length" not in headers:
                    self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content[: len(content) // 2] if cut else content)
            except ConnectionError:  # who asked has given up
                self.close_connection = True
            if cut:
                self.close_connection = True

        def log_message(self, format: str, *args: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: object, client_address: object) -> None:
            pass  # connections end in all kinds of ways here

    with Server(("127.0.0.1", 0), Handler) as listening:
        proxy = FaultyProxy(f"http://127.0.0.1:{listening.server_address[1]}")
        thread = threading.Thread(target=listening.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield proxy
        finally:
            listening.shutdown()
            thread.join()
