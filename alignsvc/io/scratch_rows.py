"""Tables of rows that a process reads again and again, kept outside its memory."""

from __future__ import annotations

import math
import os
import tempfile
import weakref
from collections.abc import Iterable
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from alignsvc.domain.made_when_asked import MadeWhenAsked
from alignsvc.errors import ResourceError
from alignsvc.fields import field_names

T = TypeVar("T")

#: Up to so many bytes stay in memory.
_IN_MEMORY = 1 << 23


class ScratchRows(MadeWhenAsked[T]):
    """Values of one frozen dataclass, read-only, one at a time.

    They lie in a temporary file without a name, which ends with this object or the process; few
    of them in memory. What is read is what was given, bit for bit.

    Parameters
    ----------
    values : iterable of T
        Their fields are arrays of as many rows, of the same types in all values, or whole numbers.

    Raises
    ------
    ResourceError
        There is no room for them.
    """

    def __init__(self, values: Iterable[T]) -> None:
        self._file = tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY)  # noqa: SIM115 - closed below
        weakref.finalize(self, self._file.close)
        self._type: type[T] | None = None
        self._columns: list[tuple[str, np.dtype[Any]]] = []
        self._numbers: list[str] = []
        # Of each value's columns, the axes behind the rows: one object where they are the same.
        self._axes: list[tuple[tuple[int, ...], ...]] = []
        known: dict[tuple[tuple[int, ...], ...], tuple[tuple[int, ...], ...]] = {}
        starts, lengths, numbers = [0], [], []
        for value in values:
            columns = self._columns_of(value)
            content = b"".join(column.tobytes() for column in columns)
            try:
                self._file.write(content)
            except OSError as error:
                raise ResourceError(
                    f"scratch: {starts[-1] + len(content)} bytes and more of measurements do not "
                    f"fit into {tempfile.gettempdir()}: {error}; set TMPDIR to a place with more "
                    "room, then resume"
                ) from error
            starts.append(starts[-1] + len(content))
            lengths.append(len(columns[0]))
            axes = tuple(column.shape[1:] for column in columns)
            self._axes.append(known.setdefault(axes, axes))
            numbers.append([int(getattr(value, name)) for name in self._numbers])
        self._start, self._n_rows = np.array(starts), np.array(lengths)
        # What came in one piece of memory is read as that, all else by its place in the file.
        self._file.seek(0)
        self._content = self._file.read() if starts[-1] <= _IN_MEMORY else b""
        self._sizes = {axes: tuple(math.prod(one) for one in axes) for axes in known}
        self._names = [name for name, _ in self._columns]
        self._number = np.array(numbers, np.int64).reshape(len(lengths), len(self._numbers))

    def _columns_of(self, value: T) -> list[NDArray[Any]]:
        if self._type is None:
            self._type = type(value)
            each = {name: getattr(value, name) for name in field_names(value)}
            arrays = {name: a for name, a in each.items() if isinstance(a, np.ndarray)}
            # Wide types first: then all of them are aligned.
            for name in sorted(arrays, key=lambda one: -arrays[one].dtype.itemsize):
                self._columns.append((name, arrays[name].dtype))
            self._numbers = [name for name in each if name not in arrays]
        return [np.asarray(getattr(value, name), dtype) for name, dtype in self._columns]

    def __len__(self) -> int:
        return len(self._n_rows)

    def column(self, index: int, name: str) -> NDArray[Any]:
        """Return one array of a value, without reading the others."""
        index = range(len(self))[index]
        axes, n_rows = self._axes[index], int(self._n_rows[index])
        start, which = int(self._start[index]), self._names.index(name)
        sizes = self._sizes[axes]
        for (_, dtype), size in zip(self._columns[:which], sizes, strict=False):
            start += n_rows * size * dtype.itemsize
        dtype, size = self._columns[which][1], n_rows * sizes[which]
        content = self._read(start, size * dtype.itemsize)
        return np.frombuffer(content, dtype, size).reshape(n_rows, *axes[which])

    def _made(self, index: int) -> T:
        assert self._type is not None
        start, end = self._start[index : index + 2].tolist()
        content, n_rows, at = self._read(start, end - start), int(self._n_rows[index]), 0
        found: dict[str, Any] = dict(zip(self._numbers, self._number[index].tolist(), strict=True))
        axes = self._axes[index]
        for (name, dtype), shape, size in zip(self._columns, axes, self._sizes[axes], strict=True):
            found[name] = np.frombuffer(content, dtype, n_rows * size, at).reshape(n_rows, *shape)
            at += n_rows * size * dtype.itemsize
        return self._type(**found)

    def _read(self, start: int, size: int) -> bytes:
        if self._content:
            return self._content[start : start + size]
        return os.pread(self._file.fileno(), size, start)
