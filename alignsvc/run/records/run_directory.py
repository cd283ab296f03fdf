"""Whether a run can have the directory that its configuration names."""

from __future__ import annotations

import errno
import os
import tempfile
import uuid
from contextlib import suppress
from pathlib import Path

from alignsvc.config.load import parse_config
from alignsvc.errors import AlignError, RunStoreError
from alignsvc.io.buckets import BucketObjects
from alignsvc.io.locations import CONFIG, HEADERS_SO_FAR
from alignsvc.io.places import Place, UrlPlace, run_place
from alignsvc.io.stores import objects_at


def absolute_directory(directory: str) -> Place:
    """Return the run directory that a configuration means, wherever it is read from."""
    return run_place(directory)


def require_usable(run: Place) -> None:
    """Raise RunStoreError unless files can be made in `run`, or it can be made.

    Known before any header is read. Permissions do not tell all (a kernel's own file systems,
    quotas), so that something is made and taken away again.
    """
    if isinstance(run, UrlPlace):
        _require_usable_bucket(BucketObjects(run))
        return
    try:
        there = next(path for path in (run, *run.parents) if path.exists())
        if not there.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        tempfile.TemporaryDirectory(prefix=".alignsvc-", dir=there).cleanup()
    except OSError as error:
        raise unusable(run, error) from error


def is_occupied(run: Place) -> bool:
    """Return whether there is anything in `run` but headers of a plan that was not finished."""
    folder = HEADERS_SO_FAR.removesuffix("/")
    if isinstance(run, Path):
        return run.is_dir() and any(one.name != folder for one in run.iterdir())
    return any(not name.startswith(HEADERS_SO_FAR) for name in objects_at(run).list(""))


def never_began(run: Place) -> bool:
    """Return whether a configuration of this very directory is there, as a driver left it that died
    before the journal's first event. Only told of directories that have no journal.
    """
    content = objects_at(run).find(CONFIG)
    if content is None:
        return False
    try:
        config = parse_config(content.decode(), str(run.joinpath(CONFIG)))
        return absolute_directory(config.run.directory) == run
    except (AlignError, UnicodeDecodeError):
        return False


def make(run: Place) -> None:
    """Make the directory of a run; a prefix of a bucket needs no making."""
    if isinstance(run, Path):
        run.mkdir(parents=True, exist_ok=True)


def unusable(run: Place, error: OSError) -> RunStoreError:
    """Return the error of a run directory that cannot be used."""
    return RunStoreError(
        f"run.directory: {run} cannot be used: {error.strerror}; name a directory where this "
        "user may write"
    )


def _require_usable_bucket(objects: BucketObjects) -> None:
    """Write an object twice if it is absent: the second time must be refused.

    That only one of two drivers can take a run rests on it.
    """
    name = f"probe-{uuid.uuid4().hex}"
    try:
        written = [objects.put_if_absent(name, b"") for _ in range(2)]
    finally:
        with suppress(AlignError):  # what was in the way is told of by the error that came first
            objects.delete(name)
    if written != [True, False]:
        raise RunStoreError(
            f"run.directory: {objects.root}: this server does not keep what is put only if it is "
            "absent (If-None-Match), so two drivers could write one run; use one that does, or a "
            "directory"
        )
