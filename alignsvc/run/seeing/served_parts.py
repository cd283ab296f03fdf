"""A run as a page asks a server for it: in parts, each made and sent again when it has changed."""

from __future__ import annotations

import gzip
import hashlib
import json
import platform
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from alignsvc.errors import AlignError
from alignsvc.io.places import Place
from alignsvc.run.seeing.detail_json import detail_json
from alignsvc.run.seeing.picture import RunPicture, RunViewer
from alignsvc.run.seeing.picture_json import PARTS, Json

#: However many pages there are, and however often they ask: no two looks within so many seconds.
_LEAST_S = 1.0
#: Fast rather than small: numbers as text shrink to a third anyhow.
_GZIP_LEVEL = 1


@dataclass(frozen=True)
class ServedPart:
    """A part of a picture, or what hinders it.

    Parameters
    ----------
    content : bytes
        JSON.
    """

    content: bytes

    @cached_property
    def tag(self) -> str:
        """By which two contents are told apart (an ETag, without its quotes)."""
        return hashlib.sha256(self.content).hexdigest()[:32]

    @cached_property
    def compressed(self) -> bytes:
        """The content as gzip has it."""
        return gzip.compress(self.content, _GZIP_LEVEL, mtime=0)


class ServedRun:
    """A run that many may ask for, in threads.

    Parameters
    ----------
    run : Place
        The run's directory, on a disk or in a bucket.
    elapsed : callable
        Seconds that only go forward.
    """

    def __init__(self, run: Place, elapsed: Callable[[], float] = time.monotonic) -> None:
        self.run = run
        self._elapsed = elapsed
        self._looking = threading.Lock()
        self._viewer: RunViewer | None = None
        self._looked_s = -_LEAST_S
        self._parts: dict[str, ServedPart] = {}
        self._bases: dict[str, object] = {}

    def part(self, name: str) -> ServedPart:
        """Return a part of the picture as it is now, or was less than a second ago.

        Where the run cannot be read from here, every part is ``{"trouble": SENTENCE}``.

        Raises
        ------
        KeyError
            There is no such part.
        """
        with self._looking:
            now_s = self._elapsed()
            if now_s - self._looked_s >= _LEAST_S:
                self._look()
                self._looked_s = self._elapsed()
            if name not in PARTS:
                raise KeyError(name)
            return self._parts[name]

    def detail(self, exposure_id: str) -> ServedPart:
        """Return what the run keeps of an exposure: ``{"detail": ...}``, null if it has no such."""
        now = self.part("moment")
        viewer = self._viewer
        if viewer is None:
            return now
        try:
            found = viewer.detail(exposure_id)
            return _part({"detail": None if found is None else detail_json(found)})
        except (AlignError, OSError) as error:
            return _part({"trouble": str(error)})

    def _look(self) -> None:
        try:
            if self._viewer is None:
                self._viewer = RunViewer(self.run)
            self._show(self._viewer.look())
        except (AlignError, OSError) as error:
            self._viewer, self._bases = None, {}
            self._parts = dict.fromkeys(PARTS, _part({"trouble": self._trouble(error)}))

    def _show(self, picture: RunPicture) -> None:
        for name, one in PARTS.items():
            basis = one.basis(picture)
            if name in self._bases and basis == self._bases[name]:
                continue
            self._bases[name] = basis
            part = _part(one.make(picture))
            # The same again keeps what was compressed.
            if name not in self._parts or part.tag != self._parts[name].tag:
                self._parts[name] = part

    def _trouble(self, error: Exception) -> str:
        return f"{self.run} cannot be shown by {platform.node()}, where this page is made: {error}"


def _part(value: Json) -> ServedPart:
    return ServedPart(json.dumps(value, allow_nan=False, separators=(",", ":")).encode())
