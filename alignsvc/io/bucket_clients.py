"""Clients of buckets and HTTP servers: how long they wait, and what they sign with.

Servers stumble: what may be asked again is asked again, with growing pauses, and no answer is
waited for without end.
"""

from __future__ import annotations

import configparser
import os
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, cast
from urllib.parse import unquote

from obstore import exceptions
from obstore.store import from_url

from alignsvc.errors import RunStoreError
from alignsvc.io.places import UrlPlace

if TYPE_CHECKING:  # not there when the program runs
    from obstore.store import ClientConfig, RetryConfig

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
#: Requests whose answer was lost and that the client will not repeat by itself.
_OWN_TRIES = 3
#: After so many seconds nothing is asked again.
_PATIENCE_S = 60.0
_FIRST_PAUSE_S = 0.5
#: Where a machine of a provider's cloud is given credentials: asked where there are no others.
_MACHINE_ITSELF = ("//169.254.169.254/", "//169.254.170.2/", "//metadata.google.internal/")
NO_CREDENTIALS = (
    "no credentials were found, neither in the environment (AWS_ACCESS_KEY_ID, "
    "AWS_SECRET_ACCESS_KEY) nor in a credentials file (AWS_PROFILE), nor does this machine have "
    "any; give some, where the driver is and on every worker"
)
#: Letters of a client's error that are told.
_LONGEST_MESSAGE = 300


class Client(Protocol):
    """What is used of a store's client; paths are keys below its bucket or server."""

    def get(self, path: str, *, options: Any = None) -> Any:
        """Return an answer with `bytes()`, ``meta`` and ``attributes``."""

    def get_range(self, path: str, *, start: int, length: int) -> Any:
        """Return some bytes."""

    def head(self, path: str) -> Any:
        """Return metadata: ``size``, ``e_tag``, ``last_modified``."""

    def put(
        self,
        path: str,
        file: bytes | Path,
        *,
        mode: str | None = None,
        attributes: Mapping[str, str] | None = None,
        use_multipart: bool | None = None,
    ) -> Any:
        """Write whole; in mode ``create`` only where there is nothing."""

    def copy(self, from_: str, to: str) -> None:
        """Copy within the bucket."""

    def list(self, prefix: str) -> Any:
        """Return pages of metadata of all that lies below a prefix."""

    def list_with_delimiter(self, prefix: str) -> Any:
        """Return what lies just below a prefix, and the prefixes there."""

    def delete(self, paths: Any) -> None:
        """Remove one or several."""


#: What a store answers where there is no such object. HTTP servers' 410 is a GenericError.
MISSING = (exceptions.NotFoundError, FileNotFoundError)
_REFUSED = (exceptions.PermissionDeniedError, exceptions.UnauthenticatedError)
#: A status that asking again does not change.
_CLIENT_ERROR = re.compile(r"\b(?:status(?: code)?:? )(4(?!08|29)\d\d)\b")
_FINAL = (
    *MISSING,
    *_REFUSED,
    exceptions.AlreadyExistsError,
    exceptions.PreconditionError,
    exceptions.NotSupportedError,
    exceptions.InvalidPathError,
    exceptions.UnknownConfigurationKeyError,
)


def client_for(origin: str) -> Client:
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
def _made(origin: str, endpoint: str, profile: _Profile | None) -> Client:
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
    return cast(Client, client)


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
