"""An S3 server in a thread, and a plain HTTP server, for tests; both forget all that they had."""

from __future__ import annotations

import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from alignsvc.io import bucket_clients
from alignsvc.io.buckets import BucketObjects
from alignsvc.io.places import UrlPlace


@contextmanager
def s3_bucket() -> Iterator[str]:
    """Serve an empty bucket; what is asked of S3 in the block is asked there. Yields its name."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    try:
        with pytest.MonkeyPatch.context() as patch:
            use_server(patch, f"http://{host}:{port}")
            make_bucket(f"http://{host}:{port}", "bucket")
            yield "bucket"
    finally:
        server.stop()


def use_server(patch: pytest.MonkeyPatch, address: str) -> None:
    """Let the environment say what server S3 is, and who asks."""
    for name, value in (
        ("AWS_ENDPOINT_URL", address),
        ("AWS_ALLOW_HTTP", "true"),
        ("AWS_ACCESS_KEY_ID", "somebody"),
        ("AWS_SECRET_ACCESS_KEY", "nobody-must-see-this"),
        ("AWS_REGION", "us-east-1"),
    ):
        patch.setenv(name, value)


def make_bucket(address: str, name: str) -> None:
    """Make a bucket on a server that asks for no signature."""
    request = urllib.request.Request(f"{address}/{name}", method="PUT")
    urllib.request.urlopen(request, timeout=60).close()


def hurry(patch: pytest.MonkeyPatch) -> None:
    """Make clients that are made from now on wait for milliseconds where they wait for seconds."""
    from datetime import timedelta

    quick = {
        "max_retries": 2,
        "retry_timeout": timedelta(seconds=5),
        "backoff": {
            "init_backoff": timedelta(milliseconds=1),
            "max_backoff": timedelta(milliseconds=2),
            "base": 2,
        },
    }
    patch.setattr(bucket_clients, "_RETRIES", quick)
    patch.setattr(bucket_clients, "_FIRST_PAUSE_S", 0.001)
    bucket_clients._made.cache_clear()


def objects_in(bucket: str) -> BucketObjects:
    """Return the objects below a prefix of a bucket, none yet."""
    return BucketObjects(UrlPlace(f"s3://{bucket}/runs/one"))


@dataclass
class Site:
    """Files of an HTTP server, and how it answers.

    `answers`: what status is given for a path instead of the file, so many times; `ranges`:
    whether parts of a file are given; `together`: who asks is answered once all of these ask.
    """

    files: dict[str, bytes] = field(default_factory=dict)
    answers: dict[str, list[int]] = field(default_factory=dict)
    ranges: bool = True
    asked: list[str] = field(default_factory=list)
    address: str = ""
    together: threading.Barrier | None = None

    def let_meet(self, n: int) -> None:
        """Answer the next `n` requests once all of them are there; if they never are, none."""
        self.together = threading.Barrier(n, lambda: setattr(self, "together", None))


@contextmanager
def http_site() -> Iterator[Site]:
    """Serve files over HTTP."""
    site = Site()

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.answer()

        def do_GET(self) -> None:
            self.wfile.write(self.answer())

        def answer(self) -> bytes:
            wanted = self.headers.get("Range", "")
            site.asked.append(f"{self.command} {self.path} {wanted}".strip())
            if site.together is not None:
                site.together.wait(30)
            planned = site.answers.get(self.path)
            content = site.files.get(self.path)
            if planned or content is None:
                self.send_response(planned.pop(0) if planned else 404)
                self.send_header("Content-Length", "0")
                self.end_headers()
                return b""
            part = content
            if site.ranges and wanted.startswith("bytes="):
                first, last = wanted.removeprefix("bytes=").split("-")
                part = content[int(first) : int(last) + 1]
                self.send_response(206)
                self.send_header("Content-Range", f"bytes {first}-{last}/{len(content)}")
            else:
                self.send_response(200)
            self.send_header("Content-Length", str(len(part)))
            self.send_header("ETag", f'"{hash(content)}"')
            self.send_header("Last-Modified", formatdate(0, usegmt=True))
            self.end_headers()
            return part

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        site.address = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield site
        finally:
            server.shutdown()
            thread.join()
