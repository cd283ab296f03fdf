"""Objects in a bucket: S3 and what speaks like it, Google's and Azure's stores.

Servers stumble: what may be asked again is asked again, with growing pauses, and no answer is
waited for without end. A conditional put is special: if its answer is lost, the next try finds the
name taken, perhaps by the first. So each such object carries a token that tells whose it is.
"""

from __future__ import annotations

import configparser
import os
import re
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, cast
from urllib.parse import unquote

from obstore import exceptions
from obstore.store import from_url

from alignsvc.errors import RunStoreError, TransientError
from alignsvc.io.objects import ObjectStore, checked_name
from alignsvc.io.open_objects import ContentAtHand
from alignsvc.io.places import UrlPlace
from alignsvc.io.reading_ahead import read_ahead

if TYPE_CHECKING:  # not there when the program runs
    from obstore.store import ClientConfig, RetryConfig

K = TypeVar("K")
T = TypeVar("T")

#: How long a request may take, and how long one is tried again when the server stumbles.
_TIMEOUT = timedelta(seconds=60)
_CONNECT_TIMEOUT = timedelta(seconds=5)
#: How long a server may be silent before it is asked again.
_SILENCE = timedelta(seconds=30)
_RETRIES: RetryConfig = {
    "max_retries": 6,
    "retry_timeout": timedelta(seconds=60),
    "backoff": {
        "init_backoff": timedelta(seconds=0.2),
        "max_backoff": timedelta(seconds=10),
        "base": 2,
    },
}
#: Objects that are read at once where one after the other is wanted.
_AHEAD = 16
#: Requests whose answer was lost and that the client will not repeat by itself.
_OWN_TRIES = 3
#: After so many seconds nothing is asked again.
_PATIENCE_S = 60.0
_FIRST_PAUSE_S = 0.5
#: Metadata of an object that was put if absent: who put it.
_TOKEN = "alignsvc-token"
#: Where a machine of a provider's cloud is given credentials: asked where there are no others.
_MACHINE_ITSELF = ("//169.254.169.254/", "//169.254.170.2/", "//metadata.google.internal/")
NO_CREDENTIALS = (
    "no credentials were found, neither in the environment (AWS_ACCESS_KEY_ID, "
    "AWS_SECRET_ACCESS_KEY) nor in a credentials file (AWS_PROFILE), nor does this machine have "
    "any; give some, where the driver is and on every worker"
)
#: Letters of a client's error that are told.
_LONGEST_MESSAGE = 300


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
            except _MISSING:
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
            except _MISSING:
                return False
        return True

    def size(self, name: str) -> int:
        """Return the number of bytes of `name`, 0 if there is no such object."""
        key = self._key(name)
        with self._explained("reading", name):
            try:
                return int(again(lambda: self._client.head(key))["size"])
            except _MISSING:
                return 0

    def version(self, name: str) -> str | None:
        """Return what tells this content of `name` from any other it had; None if there is none."""
        key = self._key(name)
        with self._explained("reading", name):
            try:
                found = again(lambda: self._client.head(key))
            except _MISSING:
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
            except _MISSING as error:
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
        except _MISSING:
            return False
        return bool(found.attributes.get(_TOKEN) == token)

    def _delete_all(self, keys: Sequence[str], name: str) -> None:
        if not keys:
            return
        with self._explained("deleting", name):
            try:
                again(lambda: self._client.delete(keys))
            except _MISSING:
                return

    @property
    def _origin(self) -> str:
        return f"{self.root.scheme}://{self.root.bucket}"

    @property
    def _client(self) -> _Client:
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
        except _MISSING as error:
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


class _Client(Protocol):
    """What is used of the store's client."""

    def get(self, path: str, *, options: Any = None) -> Any: ...
    def get_range(self, path: str, *, start: int, length: int) -> Any: ...
    def head(self, path: str) -> Any: ...
    def put(
        self,
        path: str,
        file: bytes | Path,
        *,
        mode: str | None = None,
        attributes: Mapping[str, str] | None = None,
        use_multipart: bool | None = None,
    ) -> Any: ...
    def copy(self, from_: str, to: str) -> None: ...
    def list(self, prefix: str) -> Any: ...
    def list_with_delimiter(self, prefix: str) -> Any: ...
    def delete(self, paths: Any) -> None: ...


#: What a store answers where there is no such object. HTTP servers' 410 is a GenericError.
_MISSING = (exceptions.NotFoundError, FileNotFoundError)
_REFUSED = (exceptions.PermissionDeniedError, exceptions.UnauthenticatedError)
#: A status that asking again does not change.
_CLIENT_ERROR = re.compile(r"\b(?:status(?: code)?:? )(4(?!08|29)\d\d)\b")
_FINAL = (
    *_MISSING,
    *_REFUSED,
    exceptions.AlreadyExistsError,
    exceptions.PreconditionError,
    exceptions.NotSupportedError,
    exceptions.InvalidPathError,
    exceptions.UnknownConfigurationKeyError,
)


def client_for(origin: str) -> _Client:
    """Return this process's client of a bucket or HTTP server, ``scheme://name``."""
    profile = None
    if origin.startswith("s3://") and not os.environ.get("AWS_ACCESS_KEY_ID"):
        profile = _profile()
    return _made(origin, os.environ.get("AWS_ENDPOINT_URL", ""), profile)


def plain(error: Exception) -> str:
    """Return an error of the client in one short line, without the parts of a URL after ``?``."""
    text = str(error).partition("Debug source")[0]
    words = (word.partition("?")[0] for word in text.split())
    return " ".join(words)[:_LONGEST_MESSAGE] or type(error).__name__


def refusal(error: Exception) -> str | None:
    """Return the status with which a server refused a request; None if that is not what it did.

    Of listings, and of plain servers, the client makes errors without a type of their own.
    """
    status = _CLIENT_ERROR.search(str(error))
    if status is not None:
        return status.group(1)
    return "403" if isinstance(error, _REFUSED) else None


def has_no_credentials(error: Exception) -> bool:
    """Return whether a client found no credentials and asked the machine itself, in vain."""
    return any(address in str(error) for address in _MACHINE_ITSELF)


@dataclass(frozen=True, slots=True)
class _Profile:
    """A section of a credentials file: which one, not what is in it."""

    file: Path
    name: str

    def __call__(self) -> Any:
        """Return what the client signs with, as the file says now."""
        sections = configparser.ConfigParser(interpolation=None)
        sections.read(self.file)
        section = sections[self.name]
        return {
            "access_key_id": section["aws_access_key_id"],
            "secret_access_key": section["aws_secret_access_key"],
            "token": section.get("aws_session_token"),
            "expires_at": None,
        }


def _profile() -> _Profile | None:
    """Return the profile of the usual credentials file, None if there is no such."""
    given = os.environ.get("AWS_SHARED_CREDENTIALS_FILE")
    file = Path(given) if given else Path("~/.aws/credentials").expanduser()
    name = os.environ.get("AWS_PROFILE", "default")
    sections = configparser.ConfigParser(interpolation=None)
    try:
        sections.read(file)
    except (configparser.Error, UnicodeDecodeError) as error:
        raise RunStoreError(f"{file}: not a credentials file ({type(error).__name__})") from error
    if not sections.has_option(name, "aws_secret_access_key"):
        return None
    return _Profile(file, name)


@lru_cache(maxsize=32)
def _made(origin: str, endpoint: str, profile: _Profile | None) -> _Client:
    """Return a client; `endpoint`, which it reads from the environment, tells clients apart."""
    options: ClientConfig = {
        "timeout": _TIMEOUT,
        "connect_timeout": _CONNECT_TIMEOUT,
        "read_timeout": _SILENCE,
    }
    if os.environ.get("AWS_ALLOW_HTTP", "").lower() in ("1", "true") or origin.startswith("http:"):
        options["allow_http"] = True
    more: dict[str, Any] = {} if profile is None else {"credential_provider": profile}
    client: Any = from_url(origin, client_options=options, retry_config=_RETRIES, **more)
    return cast(_Client, client)


def again(ask: Callable[[], T]) -> T:
    """Return an answer, asked for again where it was lost and the client did not do so itself."""
    last_s = time.monotonic() + _PATIENCE_S
    for attempt in range(_OWN_TRIES - 1):
        try:
            return ask()
        except _FINAL:
            raise
        except exceptions.BaseError:
            if time.monotonic() >= last_s:
                raise
            time.sleep(_FIRST_PAUSE_S * 2**attempt)
    return ask()


def object_key(place: UrlPlace) -> str:
    """Return the name by which the client of a place's bucket or server knows it."""
    # In the URL of a web page, unlike in that of a bucket, letters may be encoded.
    return unquote(place.key) if place.scheme.startswith("http") else place.key
