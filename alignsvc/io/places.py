"""Places: where something lies, as a path of this machine or as a URL.

A place is a name, nothing more: it is compared, printed and pickled, and holds no credentials.
Those come from the environment, or from the files in which the programs of a store keep them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import TypeAlias
from urllib.parse import urlsplit

from alignsvc.errors import ConfigError

#: Schemes of object stores, which a run can be written to.
STORE_SCHEMES = ("s3", "gs", "az")
#: Schemes of which inputs can be read.
INPUT_SCHEMES = (*STORE_SCHEMES, "http", "https")

_SCHEME = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]*)://")


@dataclass(frozen=True, slots=True, order=True)
class UrlPlace:
    """An object, or all objects below a prefix, in an object store or behind an HTTP server.

    Parameters
    ----------
    url : str
        ``scheme://bucket/name``, without a slash at its end.

    Raises
    ------
    ConfigError
        A scheme that is not offered, no bucket, a user or password, a query, or a name that would
        lead elsewhere. The message holds no secret.
    """

    url: str

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        # Only this much of what was given is safe to print.
        shown = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
        if "@" in parts.netloc:
            raise ConfigError(
                f"{shown}: the URL holds a user name or password, which would be kept in the run's "
                "files; leave it out and give credentials by the environment (AWS_ACCESS_KEY_ID, "
                "AWS_SECRET_ACCESS_KEY) or a credentials file"
            )
        if parts.query or parts.fragment:
            raise ConfigError(
                f"{shown}: the URL goes on with '?' or '#'; signatures expire and are secrets that "
                "would be kept in the run's files; give the plain URL, and credentials by the "
                "environment"
            )
        if parts.scheme not in INPUT_SCHEMES:
            raise ConfigError(
                f"{shown}: {parts.scheme}:// is not offered; wanted a path or one of "
                f"{', '.join(f'{scheme}://' for scheme in INPUT_SCHEMES)}"
            )
        if parts.scheme in STORE_SCHEMES and ":" in parts.netloc:
            raise ConfigError(
                f"{shown}: a bucket has no port; wanted {parts.scheme}://BUCKET/..., and the "
                "server's address in the environment (AWS_ENDPOINT_URL)"
            )
        try:
            _ = parts.port
        except ValueError as error:
            raise ConfigError(f"{shown}: not a URL: {str(error).lower()}") from error
        if not parts.netloc:
            raise ConfigError(f"{shown}: names no bucket or host; wanted {parts.scheme}://NAME/...")
        name = self.url.partition("://")[2].rstrip("/")
        if any(part in ("", ".", "..") for part in name.split("/")):
            raise ConfigError(f"{shown}: '..', '.' or '//' in a URL; give the plain one")
        object.__setattr__(self, "url", f"{parts.scheme}://{name}")

    def __str__(self) -> str:
        return self.url

    def __truediv__(self, name: str) -> UrlPlace:
        return self.joinpath(name)

    def joinpath(self, *names: str) -> UrlPlace:
        """Return the place below this one."""
        return UrlPlace("/".join((self.url, *names)))

    def absolute(self) -> UrlPlace:
        """Return the place itself: it means the same from anywhere."""
        return self

    @property
    def scheme(self) -> str:
        """``s3``, ``https``, ..."""
        return self.url.partition("://")[0]

    @property
    def bucket(self) -> str:
        """Bucket or host."""
        return self.url.partition("://")[2].partition("/")[0]

    @property
    def key(self) -> str:
        """Name within the bucket or on the host; empty for all of it."""
        return self.url.partition("://")[2].partition("/")[2]

    @property
    def name(self) -> str:
        """The last part of the name, as of a path."""
        return self.url.rpartition("/")[2]

    @property
    def suffix(self) -> str:
        """What the name ends with, from its last dot on, as of a path."""
        return Path(self.name).suffix

    @property
    def parent(self) -> UrlPlace:
        """The place above; that of a bucket is the bucket."""
        return UrlPlace(self.url.rpartition("/")[0]) if self.key else self

    def is_relative_to(self, other: UrlPlace | Path) -> bool:
        """Whether it is `other` or lies below it."""
        return f"{self.url}/".startswith(f"{other}/")


#: Where something lies: a path of this machine, or a URL.
Place: TypeAlias = Path | UrlPlace


def is_url(text: str) -> bool:
    """Return whether a text is meant as a URL rather than as a path."""
    return _SCHEME.match(text) is not None


def place_of(text: str) -> Place:
    """Return the place that a text names: a URL, or a path, which is made absolute.

    Raises
    ------
    ConfigError
        A URL of a kind that is not offered, or with credentials in it.
    """
    return UrlPlace(text) if is_url(text) else _straight(Path(text).expanduser().absolute())


def _straight(path: Path) -> Path:
    """Return a path without detours (``night/../run``), which end when the folder aside goes.

    Behind a link of the file system ``..`` leads elsewhere than the name says: it stays.
    """
    straight = Path(path.anchor)
    for part in path.relative_to(path.anchor).parts:
        is_detour = part == ".." and straight.name != ".." and not straight.is_symlink()
        straight = straight.parent if is_detour else straight / part
    return straight


def run_place(text: str) -> Place:
    """Return where a run lies that a text names.

    Raises
    ------
    ConfigError
        A URL of a kind that is not offered, with credentials in it, or that cannot be written to.
    """
    return _writable(text, "run.directory: {}: a run cannot be kept")


def folder_place(text: str) -> Place:
    """Return the folder that a text names, for files to be written below it.

    Raises
    ------
    ConfigError
        A URL of a kind that is not offered, with credentials in it, or that cannot be written to.
    """
    return _writable(text, "{}: nothing can be written")


def _writable(text: str, refusal: str) -> Place:
    place = place_of(text)
    if isinstance(place, UrlPlace) and place.scheme not in STORE_SCHEMES:
        raise ConfigError(
            f"{refusal.format(place)} behind {place.scheme}://; wanted a path or one of "
            f"{', '.join(f'{scheme}://' for scheme in STORE_SCHEMES)}"
        )
    return place


def lies_in(place: Place, folder: Place) -> bool:
    """Return whether a place is `folder` or lies below it, links of the file system followed."""
    if isinstance(place, UrlPlace):
        return place.is_relative_to(folder)
    return isinstance(folder, Path) and place.resolve().is_relative_to(folder.resolve())


def common_folder(places: Sequence[Place]) -> str:
    """Return the deepest folder that all places lie below."""
    parts = zip(*(str(place.parent).split("/") for place in places), strict=False)
    same = takewhile(lambda names: len(set(names)) == 1, parts)
    return "/".join(names[0] for names in same) or "/"
