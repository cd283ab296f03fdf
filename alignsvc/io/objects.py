"""Named objects of a run store: whole or absent, never half written.

Everything that must survive a kill goes through the few operations that a local disk and an
object store both offer: get, put, put-if-absent, copy, list, delete. None of them renames a folder:
what consists of many objects is there when the one that is written last is there.
"""

from __future__ import annotations

import os
import re
import shutil
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol, TypeVar

from alignsvc.errors import RunStoreError
from alignsvc.io.file_errors import explained
from alignsvc.io.open_objects import OpenFile, OpenObject
from alignsvc.io.places import Place

K = TypeVar("K")
T = TypeVar("T")

#: Begins the name of a file that is being written; no object may be named so.
PARTIAL = ".partial-"
#: What no name has: control characters, backslashes, parts that are empty, dots, or partial files.
_UNFIT = re.compile(rf"[\x00-\x1f\x7f\\]|(?:^|/)(?:\.{{0,2}}(?:/|$)|{re.escape(PARTIAL)})")


class ObjectStore(Protocol):
    """Bytes under names; names are relative POSIX paths (see `checked_name`)."""

    @property
    def root(self) -> Place:
        """Where they lie, for sentences."""
        ...

    def get(self, name: str) -> bytes:
        """Return the content of `name`; RunStoreError if there is no such object."""
        ...

    def get_each(self, names: Iterable[str]) -> Iterator[bytes]:
        """Yield the content of each object in turn, as `get`; those to come may be asked for."""
        ...

    def each(self, do: Callable[[K], T], items: Iterable[K], at_once: int) -> Iterator[T]:
        """Yield what `do` returns for each item in turn; it asks this store for objects.

        Where each answer takes its time, so many items are done at once, in threads.
        """
        ...

    def find(self, name: str) -> bytes | None:
        """Return the content of `name`, or None if there is no such object."""
        ...

    def opened(self, name: str) -> OpenObject | None:
        """Open `name` for reading; None if there is no such object."""
        ...

    def exists(self, name: str) -> bool:
        """Return whether there is an object `name`."""
        ...

    def version(self, name: str) -> str | None:
        """Return what tells this content of `name` from any other it had; None if there is none."""
        ...

    def put(self, name: str, content: bytes) -> None:
        """Write `name` whole, in place of what was there."""
        ...

    def put_parts(self, name: str, parts: Sequence[bytes | memoryview]) -> None:
        """Write `name` whole, as `put`: its content is the parts, one after the other."""
        ...

    def put_if_absent(self, name: str, content: bytes) -> bool:
        """Write `name` whole unless it exists; return whether it was written by this call."""
        ...

    def copy(self, source: ObjectStore, name: str, as_name: str) -> None:
        """Write object `name` of `source`, this store or another, whole as `as_name`.

        The two may share bytes: objects are replaced, never written into.
        """
        ...

    def list(self, prefix: str) -> tuple[str, ...]:
        """Return the names that begin with `prefix`, sorted."""
        ...

    def sizes(self, prefix: str) -> Mapping[str, int]:
        """Return how many bytes each object has whose name begins with `prefix`, by name."""
        ...

    def folders(self, folder: str) -> tuple[str, ...]:
        """Return the names of the folders just below `folder` (empty, or ends in ``/``), sorted."""
        ...

    def delete(self, name: str) -> None:
        """Remove `name`; nothing happens if there is no such object."""
        ...

    def delete_below(self, folder: str) -> None:
        """Remove all objects below `folder`, which ends in ``/``; empty = everything."""
        ...

    def remove_partial(self) -> None:
        """Remove what killed writers left; only while nobody writes."""
        ...


def checked_name(name: str) -> str:
    """Return `name` if it is a relative POSIX path that stays below its root.

    Raises
    ------
    RunStoreError
        An absolute path, an empty, ``.`` or ``..`` component, a backslash, a control
        character, or a component kept for files that are being written.
    """
    if _UNFIT.search(name):
        raise RunStoreError(
            f"run store: {name!r} is no name for an object; wanted a path below the run "
            "directory, without '..', backslashes, control characters or empty parts"
        )
    return name


@dataclass(frozen=True, slots=True)
class LocalObjects:
    """Objects as files below a directory.

    An object appears by a rename (`put`) or a hard link (`put_if_absent`) of a file that was
    written and flushed to disk before, so a kill or a power cut leaves it whole or absent. Of
    scratch only a kill does: its bytes have left the process, and the system has them.

    Parameters
    ----------
    root : Path
        Created with the first object.
    is_scratch : bool
        Whether a power cut may take everything with it: nothing waits for the disk then.
    """

    root: Path
    is_scratch: bool = False

    def get(self, name: str) -> bytes:
        """Return the content of `name`; RunStoreError if there is no such object."""
        content = self.find(name)
        if content is None:
            raise RunStoreError(f"run store {self.root}: {name} is missing")
        return content

    def get_each(self, names: Iterable[str]) -> Iterator[bytes]:
        """Yield the content of each object in turn, as `get`: a disk is at hand."""
        return map(self.get, names)

    def each(self, do: Callable[[K], T], items: Iterable[K], at_once: int) -> Iterator[T]:
        """Yield what `do` returns for each item in turn: a disk is at hand."""
        del at_once
        return map(do, items)

    def find(self, name: str) -> bytes | None:
        """Return the content of `name`, or None if there is no such object."""
        path = self._path(name)
        with self._explained("reading", name):
            try:
                return path.read_bytes()
            except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
                return None

    def opened(self, name: str) -> OpenFile | None:
        """Open `name` for reading; None if there is no such object."""
        with self._explained("reading", name):
            try:
                path = f"{self.root}/{checked_name(name)}"
                return OpenFile.at(path, f"run store {self.root}: reading {name}")
            except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
                return None

    def exists(self, name: str) -> bool:
        """Return whether there is an object `name`."""
        path = self._path(name)
        with self._explained("reading", name):
            return path.is_file()

    def version(self, name: str) -> str | None:
        """Return what tells this content of `name` from any other it had; None if there is none.

        A file is replaced by another one, never written into; who does, changes its times.
        """
        path = self._path(name)
        with self._explained("reading", name):
            try:
                found = path.stat()
            except (FileNotFoundError, NotADirectoryError):
                return None
        return f"{found.st_ino}-{found.st_size}-{found.st_mtime_ns}-{found.st_ctime_ns}"

    def put(self, name: str, content: bytes) -> None:
        """Write `name` whole, in place of what was there."""
        self.put_parts(name, [content])

    def put_parts(self, name: str, parts: Sequence[bytes | memoryview]) -> None:
        """Write `name` whole, as `put`: its content is the parts, one after the other."""
        path = self._path(name)
        with self._explained("writing", name), self._partial(path, parts) as partial:
            partial.replace(path)

    def put_if_absent(self, name: str, content: bytes) -> bool:
        """Write `name` whole unless it exists; return whether it was written by this call."""
        path = self._path(name)
        with self._explained("writing", name):
            if path.exists():  # only saves work: the link below decides
                return False
            with self._partial(path, [content]) as partial:
                try:
                    os.link(partial, path)
                except FileExistsError:
                    return False
            return True

    def copy(self, source: ObjectStore, name: str, as_name: str) -> None:
        """Write object `name` of `source` whole as `as_name`: linked where the disk allows it."""
        if not isinstance(source, LocalObjects):
            self.put(as_name, source.get(name))
            return
        old, new = source._path(name), self._path(as_name)
        with self._explained("writing", as_name):
            try:
                _link(old, new)
            except (FileNotFoundError, NotADirectoryError):
                source.get(name)  # says so if it is missing
                raise

    def list(self, prefix: str) -> tuple[str, ...]:
        """Return the names that begin with `prefix`, sorted; all of them if it is empty."""
        folder, _, _ = prefix.rpartition("/")
        top = self._path(folder) if folder else self.root
        with self._explained("listing", prefix):
            names = [*_names_below(top, self.root)]
        return tuple(sorted(name for name in names if name.startswith(prefix)))

    def sizes(self, prefix: str) -> Mapping[str, int]:
        """Return how many bytes each object has whose name begins with `prefix`, by name."""
        found = {}
        for name in self.list(prefix):
            # What is deleted meanwhile is there no more, as in a bucket.
            with self._explained("listing", prefix), suppress(FileNotFoundError):
                found[name] = self._path(name).stat().st_size
        return found

    def delete(self, name: str) -> None:
        """Remove `name`; nothing happens if there is no such object."""
        path = self._path(name)
        with self._explained("deleting", name), suppress(FileNotFoundError, NotADirectoryError):
            path.unlink()

    def folders(self, folder: str) -> tuple[str, ...]:
        """Return the names of the folders just below `folder` (empty, or ends in ``/``), sorted."""
        top = self._folder(folder)
        with self._explained("listing", folder), suppress(FileNotFoundError, NotADirectoryError):
            return tuple(sorted(path.name for path in top.iterdir() if path.is_dir()))
        return ()

    def delete_below(self, folder: str) -> None:
        """Remove all objects below `folder`, which ends in ``/``; empty = everything."""
        top = self._folder(folder)
        with self._explained("deleting", folder), suppress(FileNotFoundError, NotADirectoryError):
            shutil.rmtree(top)

    def remove_partial(self) -> None:
        """Remove what killed writers left; only while nobody writes."""
        for folder, _, files in os.walk(self.root):
            for file in files:
                if file.startswith(PARTIAL):
                    Path(folder, file).unlink(missing_ok=True)

    def _folder(self, name: str) -> Path:
        return self._path(name.removesuffix("/")) if name else self.root

    def _path(self, name: str) -> Path:
        return self.root / checked_name(name)

    def _explained(self, doing: str, name: str) -> AbstractContextManager[None]:
        return explained(f"run store {self.root}: {doing} {name}")

    @contextmanager
    def _partial(self, path: Path, parts: Sequence[bytes | memoryview]) -> Iterator[Path]:
        """Write the parts beside `path` under a name of its own; it is gone afterwards."""
        partial = path.with_name(f"{PARTIAL}{uuid.uuid4().hex}")
        try:
            with _created(partial) as file:
                file.writelines(parts)
                if not self.is_scratch:
                    file.flush()
                    os.fsync(file.fileno())
            yield partial
            if not self.is_scratch:
                _flush_directory(path.parent)
        finally:
            partial.unlink(missing_ok=True)


def _created(partial: Path) -> BinaryIO:
    """Return a new file that is open for writing; its folder is made if there is none yet."""
    try:
        return partial.open("xb")
    except FileNotFoundError:
        partial.parent.mkdir(parents=True, exist_ok=True)
        return partial.open("xb")


def _link(old: Path, new: Path) -> None:
    """Make `new` the same file as `old`, in one step; a copy where links are not to be had."""
    new.parent.mkdir(parents=True, exist_ok=True)
    if new.exists() and new.samefile(old):
        return
    partial = new.with_name(f"{PARTIAL}{uuid.uuid4().hex}")
    try:
        try:
            os.link(old, partial)
        except FileNotFoundError:
            raise
        except OSError:  # another device, or a file system without links
            shutil.copyfile(old, partial)
        partial.replace(new)
    finally:
        partial.unlink(missing_ok=True)


def _flush_directory(folder: Path) -> None:
    """Make a new name survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _names_below(top: Path, root: Path) -> Iterator[str]:
    """Yield names of the files below `top`, as of `root`; not of those that are being written."""
    for folder, _, files in os.walk(top):
        below = Path(folder).relative_to(root).as_posix()
        start = "" if below == "." else f"{below}/"
        yield from (f"{start}{file}" for file in files if not file.startswith(PARTIAL))
