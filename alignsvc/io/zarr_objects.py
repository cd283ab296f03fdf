"""Objects as zarr sees them: one store for arrays, wherever the run lies."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable

from zarr.abc.store import (
    ByteRequest,
    OffsetByteRequest,
    RangeByteRequest,
    Store,
    SuffixByteRequest,
)
from zarr.core.buffer import Buffer, BufferPrototype

from alignsvc.errors import DamagedProduct
from alignsvc.io.objects import ObjectStore

#: Begins the key of every chunk of an array (zarr v3, default encoding).
CHUNKS = "c/"


class ZarrObjects(Store):
    """The objects below one name, as a zarr store.

    A chunk that is missing is an error, never an array of the fill value. Calls block: an array's
    chunk is one object, and whoever reads one waits for it.

    Parameters
    ----------
    objects : ObjectStore
    name : str
        Of the array or group, without a slash at its end.
    read_only : bool
    """

    def __init__(self, objects: ObjectStore, name: str, *, read_only: bool = False) -> None:
        super().__init__(read_only=read_only)
        self._objects = objects
        self._name = name

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ZarrObjects) and (self._objects, self._name) == (
            other._objects,
            other._name,
        )

    def with_read_only(self, read_only: bool = False) -> ZarrObjects:
        """Return the same store, to be written to or not."""
        return ZarrObjects(self._objects, self._name, read_only=read_only)

    async def get(
        self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        """Return an object, or part of it; None if there is none and it is no chunk."""
        name = f"{self._name}/{key}"
        content = self._objects.find(name)
        if content is not None:
            return prototype.buffer.from_bytes(_part(content, byte_range))
        if key.startswith(CHUNKS) and self.read_only:
            raise DamagedProduct(f"{name} is missing")
        return None

    async def get_partial_values(
        self, prototype: BufferPrototype, key_ranges: Iterable[tuple[str, ByteRequest | None]]
    ) -> list[Buffer | None]:
        """Return parts of objects."""
        return [await self.get(key, prototype, wanted) for key, wanted in key_ranges]

    async def exists(self, key: str) -> bool:
        """Return whether there is such an object."""
        return self._objects.exists(f"{self._name}/{key}")

    @property
    def supports_writes(self) -> bool:
        """Always."""
        return True

    async def set(self, key: str, value: Buffer) -> None:
        """Write an object whole."""
        self._check_writable()
        self._objects.put(f"{self._name}/{key}", value.to_bytes())

    @property
    def supports_deletes(self) -> bool:
        """Always."""
        return True

    async def delete(self, key: str) -> None:
        """Remove an object."""
        self._check_writable()
        self._objects.delete(f"{self._name}/{key}")

    @property
    def supports_listing(self) -> bool:
        """Always."""
        return True

    async def list(self) -> AsyncIterator[str]:
        """Yield all keys."""
        async for key in self.list_prefix(""):
            yield key

    async def list_prefix(self, prefix: str) -> AsyncIterator[str]:
        """Yield the keys that begin with `prefix`."""
        for name in self._objects.list(f"{self._name}/{prefix}"):
            yield name.removeprefix(f"{self._name}/")

    async def list_dir(self, prefix: str) -> AsyncIterator[str]:
        """Yield the names just below `prefix`."""
        folder = f"{prefix.rstrip('/')}/" if prefix else ""
        keys = [key async for key in self.list_prefix(folder)]
        for name in sorted({key.removeprefix(folder).partition("/")[0] for key in keys}):
            yield name


def _part(content: bytes, wanted: ByteRequest | None) -> bytes:
    match wanted:
        case RangeByteRequest(start, end):
            return content[start:end]
        case OffsetByteRequest(offset):
            return content[offset:]
        case SuffixByteRequest(length):
            return content[-length:]
    return content
