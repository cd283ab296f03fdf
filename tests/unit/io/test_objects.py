"""Objects on a disk are whole or absent, and never outside their directory."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from alignsvc.errors import ResourceError, RunStoreError
from alignsvc.io.locations import RunLocations
from alignsvc.io.objects import LocalObjects


@pytest.fixture
def objects(tmp_path: Path) -> LocalObjects:
    return LocalObjects(tmp_path / "run")


def test_nothing_but_objects_is_left_in_the_directory(objects: LocalObjects) -> None:
    objects.put("a", b"")
    objects.put_if_absent("a", b"")
    objects.put_if_absent("b", b"")
    objects.delete("b")
    assert [path.name for path in objects.root.iterdir()] == ["a"]


def test_others_may_read_what_the_umask_lets_them(objects: LocalObjects) -> None:
    objects.put("a", b"")
    mask = os.umask(0)
    os.umask(mask)
    assert (objects.root / "a").stat().st_mode & 0o777 == 0o666 & ~mask


@pytest.mark.parametrize(
    "name",
    [
        "",
        "/etc/passwd",
        "..",
        "a/../../b",
        "a//b",
        "a/",
        "./a",
        "a\\b",
        "a\0b",
        "a\nb",
        ".partial-1",
    ],
)
def test_a_name_cannot_leave_the_directory(objects: LocalObjects, name: str) -> None:
    for use in (
        objects.get,
        objects.exists,
        objects.delete,
        RunLocations(objects.root).path if name != "a/" else objects.get,
        lambda name: objects.put(name, b""),
        lambda name: objects.put_if_absent(name, b""),
    ):
        with pytest.raises(RunStoreError, match="no name for an object"):
            use(name)


@pytest.mark.parametrize(
    ("number", "kind", "sentence"),
    [
        (errno.ENOSPC, ResourceError, "the disk is full; free some space there, then resume"),
        (errno.EDQUOT, ResourceError, "the disk is full"),
        (errno.EACCES, RunStoreError, "not permitted"),
        (errno.EROFS, RunStoreError, "not permitted"),
        (errno.EIO, RunStoreError, "writing a: "),
    ],
)
def test_a_disk_that_refuses_says_what_to_do(
    objects: LocalObjects,
    monkeypatch: pytest.MonkeyPatch,
    number: int,
    kind: type[Exception],
    sentence: str,
) -> None:
    def refuse(_: int) -> None:
        raise OSError(number, os.strerror(number))

    objects.put("a", b"before")
    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(kind, match=sentence):
        objects.put("a", b"after")
    assert objects.get("a") == b"before"
    assert objects.list("") == ("a",)


def test_a_writer_that_is_killed_leaves_whole_objects(objects: LocalObjects) -> None:
    writes_for_ever = (
        "import sys; from pathlib import Path; from alignsvc.io.objects import LocalObjects\n"
        "objects = LocalObjects(Path(sys.argv[1]))\n"
        "while True:\n"
        "    for letter in b'ab': objects.put('x', bytes([letter]) * 1_000_000)\n"
    )
    writer = subprocess.Popen([sys.executable, "-c", writes_for_ever, str(objects.root)])
    while not objects.exists("x"):
        assert writer.poll() is None, "the writer ended before it wrote"
        time.sleep(0.01)
    time.sleep(0.05)
    writer.send_signal(signal.SIGKILL)
    writer.wait()
    content = objects.get("x")
    assert len(content) == 1_000_000
    assert len(set(content)) == 1
    assert objects.list("") == ("x",)


def test_what_is_deleted_while_sizes_are_taken_is_not_among_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    objects = LocalObjects(tmp_path)
    objects.put("here", b"four")
    monkeypatch.setattr(LocalObjects, "list", lambda self, prefix: ("gone", "here"))
    assert objects.sizes("") == {"here": 4}
