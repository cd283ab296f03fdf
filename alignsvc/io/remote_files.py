"""Input files behind URLs: found by listing, read by ranges, whole where a server has none.

Nothing is written to a disk. All that is read while a file is open is of one version of it.
"""

from __future__ import annotations

import fnmatch
import gzip
import io
import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO, cast

from obstore import exceptions

from alignsvc.errors import ConfigError, DataError, RunStoreError, TransientError
from alignsvc.io.buckets import BucketObjects, Purpose
from alignsvc.io.inputs_ahead import inputs_ahead
from alignsvc.io.places import STORE_SCHEMES, UrlPlace
from alignsvc.io.remote_ranges import RangeStream, RemoteFile, asked, buffered
from alignsvc.reasons import FailureKind

_GZIP = b"\x1f\x8b"
_PATTERN_SIGNS = re.compile(r"[*?\[]")


@contextmanager
def raw_remote(file: RemoteFile) -> Iterator[BinaryIO]:
    """Open a file for reading its bytes as they are; errors as of `remote_file`.

    Raises
    ------
    DataError
        CHANGED: another version of the file has taken its place.
    """
    with buffered(inputs_ahead().take(file) or RangeStream(file)) as stream:
        try:
            stream.peek(1)
        except exceptions.NotSupportedError:
            pass  # a plain server that sends files whole
        else:
            yield cast(BinaryIO, stream)
            return
    yield io.BytesIO(asked(file, None))


@contextmanager
def opened_remote(file: RemoteFile) -> Iterator[BinaryIO]:
    """Open a file for reading its bytes after decompression; errors as of `raw_remote`."""
    with raw_remote(file) as raw:
        is_gzip = raw.read(2) == _GZIP
        raw.seek(0)
        if not is_gzip:
            yield raw
            return
        try:
            plain_bytes = gzip.decompress(raw.read())
        except (OSError, EOFError, zlib.error) as error:
            raise DataError(
                FailureKind.UNREADABLE,
                f"{file.place}: not readable as gzip ({error}); copy the file again or leave it "
                "out",
            ) from error
    yield io.BytesIO(plain_bytes)


def is_pattern(url: str) -> bool:
    """Return whether a URL stands for several files."""
    return _PATTERN_SIGNS.search(url) is not None


def matching(url: str) -> list[str]:
    """Return the URLs of the objects that a pattern stands for, sorted.

    ``*`` and ``[...]`` match within a part of the name, ``**`` any number of parts; names that
    begin with a dot are left out.

    Raises
    ------
    ConfigError
        The server cannot list its files, or refuses.
    TransientError
        It does not answer.
    """
    place = UrlPlace(url)
    if place.scheme not in STORE_SCHEMES:
        raise ConfigError(
            f"images.paths: {place}: files behind {place.scheme}:// cannot be listed; name each "
            "of them"
        )
    parts = place.key.split("/")
    fixed = next(i for i, part in enumerate(parts) if is_pattern(part))
    top = UrlPlace("/".join((f"{place.scheme}://{place.bucket}", *parts[:fixed])))
    wanted = re.compile("".join(_expressions(parts[fixed:])) + r"\Z")
    try:
        names = BucketObjects(top, Purpose.INPUTS).list("")
    except RunStoreError as error:
        raise ConfigError(f"images.paths: {place}: {error}") from error
    except TransientError as error:
        raise TransientError(f"images.paths: {place}: {error}") from error
    return [f"{top}/{name}" for name in names if wanted.match(name)]


def _expressions(parts: list[str]) -> Iterator[str]:
    for i, part in enumerate(parts):
        is_last = i == len(parts) - 1
        if part == "**":
            yield r"(?:[^/.][^/]*/)*" + (r"[^/.][^/]*" if is_last else "")
            continue
        inner = fnmatch.translate(part).removeprefix("(?s:").removesuffix(r")\Z")
        # What fnmatch lets match anything must stay within one part of the name.
        inner = inner.replace(".*", "[^/]*")
        yield (r"(?!\.)" if not part.startswith(".") else "") + inner + ("" if is_last else "/")
