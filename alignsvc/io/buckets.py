"""Objects in a bucket: S3 and what speaks like it, Google's and Azure's stores.

Servers stumble, and are asked again (`bucket_clients`). A conditional put is special: if its answer
is lost, the next try finds the name taken, perhaps by the first. So each such object carries a
token that tells whose it is.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TypeVar

from obstore import exceptions

from alignsvc.errors import RunStoreError, TransientError
from alignsvc.io.bucket_clients import (
    MISSING,
    NO_CREDENTIALS,
    Client,
    again,
    client_for,
    has_no_credentials,
    plain,
    refusal,
)
from alignsvc.io.objects import ObjectStore, checked_name
from alignsvc.io.open_objects import ContentAtHand
from alignsvc.io.places import UrlPlace
from alignsvc.io.reading_ahead import read_ahead

K = TypeVar("K")
T = TypeVar("T")

#: Objects that are read at once where one after the other is wanted.
_AHEAD = 16
#: Metadata of an object that was put if absent: who put it.
_TOKEN = "alignsvc-token"


class Purpose(StrEnum):
    """What objects are to a run: errors say it."""

    RUN_STORE = "run store"
    INPUTS = "inputs"


@dataclass(frozen=True, slots=True)
class BucketObjects:
    """Objects below a prefix of a bucket.

    Parameters
    ----------
    root : UrlPlace
        Credentials and, where it is not the provider's own, the address of the server come from
        the environment (``AWS_ACCESS_KEY_ID``, ``AWS_ENDPOINT_URL``, ``AWS_ALLOW_HTTP``, ...), or
        credentials from the usual file (``~/.aws/credentials``, ``AWS_PROFILE``).
    purpose : Purpose
    """

    root: UrlPlace
    purpose: Purpose = Purpose.RUN_STORE

    def get(self, name: str) -> bytes:
        """Return the content of `name`; RunStoreError if there is no such object."""
        content = self.find(name)
        if content is None:
            raise RunStoreError(f"{self.purpose} {self.root}: {name} is missing")
        return content

    def get_each(self, names: Iterable[str]) -> Iterator[bytes]:
        """Yield the content of each object in turn, as `get`; some of those to come are read."""
        return self.each(self.get, names, _AHEAD)

    def each(self, do: Callable[[K], T], items: Iterable[K], at_once: int) -> Iterator[T]:
        """Yield what `do` returns for each item in turn, so many of them at once."""
        return read_ahead(do, items, at_once)

    def find(self, name: str) -> bytes | None:
        """Return the content of `name`, or None if there is no such object."""
        key = self._key(name)
        with self._explained("reading", name):
            try:
                return again(lambda: bytes(self._client.get(key).bytes()))
            except MISSING:
                return None

    def opened(self, name: str) -> ContentAtHand | None:
        """Read `name`; None if there is no such object. To ask for parts takes longer."""
        content = self.find(name)
        return None if content is None else ContentAtHand(content)

    def exists(self, name: str) -> bool:
        """Return whether there is an object `name`."""
        key = self._key(name)
        with self._explained("reading", name):
            try:
                again(lambda: self._client.head(key))
            except MISSING:
                return False
        return True

    def size(self, name: str) -> int:
        """Return the number of bytes of `name`, 0 if there is no such object."""
        key = self._key(name)
        with self._explained("reading", name):
            try:
                return int(again(lambda: self._client.head(key))["size"])
            except MISSING:
                return 0

    def version(self, name: str) -> str | None:
        """Return what tells this content of `name` from any other it had; None if there is none."""
        key = self._key(name)
        with self._explained("reading", name):
            try:
                found = again(lambda: self._client.head(key))
            except MISSING:
                return None
        return f"{found['e_tag']}-{found['size']}-{found['last_modified']}"

    def put(self, name: str, content: bytes) -> None:
        """Write `name` whole, in place of what was there."""
        key = self._key(name)
        with self._explained("writing", name):
            again(lambda: self._client.put(key, content, use_multipart=False))

    def put_parts(self, name: str, parts: Sequence[bytes | memoryview]) -> None:
        """Write `name` whole, as `put`: its content is the parts, one after the other."""
        self.put(name, b"".join(parts))

    def put_file(self, name: str, file: Path) -> None:
        """Write the content of a file as `name`, in parts if it is large; it appears whole."""
        key = self._key(name)
        with self._explained("writing", name):
            again(lambda: self._client.put(key, file))

    def put_if_absent(self, name: str, content: bytes) -> bool:
        """Write `name` whole unless it exists; return whether it was written by this call."""
        key, token = self._key(name), uuid.uuid4().hex
        with self._explained("writing", name):
            try:
                again(
                    lambda: self._client.put(
                        key, content, mode="create", attributes={_TOKEN: token}, use_multipart=False
                    )
                )
            except (exceptions.AlreadyExistsError, exceptions.PreconditionError):
                # Perhaps it was this very call that wrote it, and only its answer was lost.
                return self._is_mine(key, token)
        return True

    def copy(self, source: ObjectStore, name: str, as_name: str) -> None:
        """Write object `name` of `source` whole as `as_name`; within a bucket the server does."""
        if not isinstance(source, BucketObjects) or source._origin != self._origin:
            self.put(as_name, source.get(name))
            return
        old, new = source._key(name), self._key(as_name)
        with self._explained("copying", name):
            try:
                again(lambda: self._client.copy(old, new))
            except MISSING as error:
                raise RunStoreError(f"{self.purpose} {source.root}: {name} is missing") from error

    def list(self, prefix: str) -> tuple[str, ...]:
        """Return the names that begin with `prefix`, sorted; all of them if it is empty."""
        return tuple(self.sizes(prefix))

    def sizes(self, prefix: str) -> Mapping[str, int]:
        """Return how many bytes each object has whose name begins with `prefix`, by name."""
        folder = prefix.rpartition("/")[0]
        top = self._key(folder) if folder else self.root.key
        below = f"{self.root.key}/" if self.root.key else ""
        with self._explained("listing", prefix):
            found = again(lambda: [one for part in self._client.list(top) for one in part])
        sizes = {
            one["path"].removeprefix(below): int(one["size"])
            for one in found
            if one["path"].startswith(below)
        }
        return {name: sizes[name] for name in sorted(sizes) if name.startswith(prefix)}

    def folders(self, folder: str) -> tuple[str, ...]:
        """Return the names of the folders just below `folder` (empty, or ends in ``/``), sorted."""
        top = self._key(folder.removesuffix("/")) if folder else self.root.key
        with self._explained("listing", folder):
            found = again(lambda: self._client.list_with_delimiter(top))["common_prefixes"]
        return tuple(sorted(prefix.rstrip("/").rpartition("/")[2] for prefix in found))

    def delete(self, name: str) -> None:
        """Remove `name`; nothing happens if there is no such object."""
        self._delete_all([self._key(name)], name)

    def delete_below(self, folder: str) -> None:
        """Remove all objects below `folder`, which ends in ``/``; empty = everything."""
        self._delete_all([self._key(name) for name in self.list(folder)], folder)

    def remove_partial(self) -> None:
        """Nothing is to be removed: an object is there when the whole of it is."""

    def _is_mine(self, key: str, token: str) -> bool:
        """Return whether an object carries a token; False if it is gone again."""
        try:
            found = again(lambda: self._client.get(key))
        except MISSING:
            return False
        return bool(found.attributes.get(_TOKEN) == token)

    def _delete_all(self, keys: Sequence[str], name: str) -> None:
        if not keys:
            return
        with self._explained("deleting", name):
            try:
                again(lambda: self._client.delete(keys))
            except MISSING:
                return

    @property
    def _origin(self) -> str:
        return f"{self.root.scheme}://{self.root.bucket}"

    @property
    def _client(self) -> Client:
        return client_for(self._origin)

    def _key(self, name: str) -> str:
        prefix = f"{self.root.key}/" if self.root.key else ""
        return prefix + checked_name(name)

    @contextmanager
    def _explained(self, doing: str, name: str) -> Iterator[None]:
        """Turn errors of the client into errors that say what the operator does next."""
        where = f"{self.purpose} {self.root}: {doing} {name}".rstrip()
        then = "resume" if self.purpose is Purpose.RUN_STORE else "try again"
        try:
            yield
        except MISSING as error:
            raise RunStoreError(f"{where}: there is no such bucket or object") from error
        except exceptions.BaseError as error:
            if refusal(error):
                raise RunStoreError(
                    f"{where}: refused ({plain(error)}); check the credentials in the environment "
                    "or the credentials file, and what they may do in this bucket"
                ) from error
            if has_no_credentials(error):
                raise RunStoreError(f"{where}: {NO_CREDENTIALS}") from error
            raise TransientError(
                f"{where}: the server did not answer well, asked again and again ({plain(error)}); "
                f"see that it is up and can be reached from here, then {then}"
            ) from error
