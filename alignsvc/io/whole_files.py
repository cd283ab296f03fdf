"""Files that appear whole, or not at all: on a disk, or as objects of a bucket."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO, cast

from alignsvc.errors import FileNotWritten, HeaderError
from alignsvc.io.buckets import BucketObjects
from alignsvc.io.objects import PARTIAL
from alignsvc.io.places import Place, UrlPlace

#: The disk is full, or may not be written: what a user can mend, and no fault of what is written.
DISK_REFUSES = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS})


def not_written(place: Place, error: OSError) -> HeaderError:
    """Return the error of a header's file that could not be written, by whose fault it is."""
    kind = FileNotWritten if error.errno in DISK_REFUSES else HeaderError
    return kind(f"{place}: cannot be written: {error.strerror or error}")


@contextmanager
def replaced(place: Place, mode: int = 0o644) -> Iterator[BinaryIO]:
    """Open a file that takes the place of what is at `place` when the block ends well.

    Until then it lies beside that under a name made of it, so that the next writer of the same
    file removes what a killed one has left; or, for a bucket, nameless in the folder for temporary
    files. Folders are made. The file can be written in any order.

    Parameters
    ----------
    place : Place
    mode : int
        Permissions of the file; a bucket has its own.
    """
    if isinstance(place, UrlPlace):
        with tempfile.NamedTemporaryFile() as scratch:
            yield cast(BinaryIO, scratch)
            scratch.flush()
            BucketObjects(place.parent).put_file(place.name, Path(scratch.name))
        return
    with _replaced_on_disk(place, mode) as out:
        yield out


@contextmanager
def _replaced_on_disk(path: Path, mode: int) -> Iterator[BinaryIO]:
    path.parent.mkdir(parents=True, exist_ok=True)
    prefix = f"{PARTIAL}{sha256(os.fsencode(path.name)).hexdigest()[:16]}-"
    for left in path.parent.glob(f"{prefix}*"):
        left.unlink(missing_ok=True)
    handle, name = tempfile.mkstemp(prefix=prefix, dir=path.parent)
    partial = Path(name)
    try:
        with os.fdopen(handle, "wb") as out:
            yield cast(BinaryIO, out)
            out.flush()
            os.fsync(out.fileno())
        partial.chmod(mode)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
