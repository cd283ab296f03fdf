"""Struct-of-arrays values in the store: ``.npz`` without pickle, the same bytes for one value."""

from __future__ import annotations

import hashlib
import io
import math
import re
import struct
import zipfile
import zlib
from functools import lru_cache
from typing import Any, TypeVar, get_type_hints

import numpy as np
from numpy.typing import NDArray

from alignsvc.errors import DamagedProduct
from alignsvc.fields import field_names
from alignsvc.io.locations import FORMAT_VERSION
from alignsvc.io.objects import ObjectStore

T = TypeVar("T")

_SCALARS = (bool, int, float, str)
#: What damaged archives make their reader raise, whichever byte is another one.
UNREADABLE = (
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    EOFError,
    OSError,
    RuntimeError,
    struct.error,
    zipfile.BadZipFile,
    zlib.error,
)
#: What `numpy.lib.format.write_array` puts before the bytes of an array in C order, version 1.0.
_HEADER = re.compile(
    rb"\x93NUMPY\x01\x00..\{'descr': '([^']+)', 'fortran_order': False, "
    rb"'shape': \(([0-9, ]*)\), \} *\n",
    re.DOTALL,
)
# A zip archive keeps a date for each member; a fixed one keeps the bytes the same.
_NO_DATE = (1980, 1, 1, 0, 0, 0)


def write_table(objects: ObjectStore, name: str, value: object) -> str:
    """Write a frozen dataclass of arrays; return the SHA-256 of the bytes written.

    Raises
    ------
    TypeError
        A field is neither an array of numbers or text, nor a number, nor text.
    """
    content = bytes_from_table(value)
    objects.put(name, content)
    return hashlib.sha256(content).hexdigest()


def read_table(objects: ObjectStore, name: str, type_: type[T], checksum: str = "") -> T:
    """Return the value of `type_` that was written as `name`.

    Parameters
    ----------
    objects : ObjectStore
    name : str
    type_ : type
        The frozen dataclass that was written.
    checksum : str
        What `write_table` returned; empty = not compared (the archive has its own CRC).

    Raises
    ------
    DamagedProduct
        Missing, damaged, of another class or another format.
    """
    content = objects.find(name)
    if content is None:
        raise DamagedProduct(f"table {name} is missing")
    if checksum and hashlib.sha256(content).hexdigest() != checksum:
        raise DamagedProduct(f"table {name}: its content is not what was written")
    try:
        return table_from_bytes(content, type_)
    except UNREADABLE as error:
        raise DamagedProduct(f"table {name}: {error}") from error


def table_is_whole(objects: ObjectStore, name: str, type_: type[Any]) -> bool:
    """Return whether `read_table` would return a table of this type."""
    try:
        read_table(objects, name, type_)
    except DamagedProduct:
        return False
    return True


def content_is_whole(objects: ObjectStore, name: str, checksum: str) -> bool:
    """Return whether a table is there whose content has the checksum of `write_table`."""
    content = objects.find(name)
    return content is not None and hashlib.sha256(content).hexdigest() == checksum


def bytes_from_table(value: object) -> bytes:
    """Return a frozen dataclass of arrays as the bytes of an ``.npz`` archive.

    Fields that are plain numbers or text are kept as arrays without axes. The archive's comment
    names class and format.
    """
    buffer = io.BytesIO()
    # Stored, not deflated: the bytes of a deflated stream depend on the library's version.
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        archive.comment = _comment(type(value))
        for name in field_names(value):
            column = _portable(getattr(value, name), name)
            with archive.open(zipfile.ZipInfo(f"{name}.npy", _NO_DATE), "w") as member:
                np.lib.format.write_array(member, column, version=(1, 0), allow_pickle=False)
    return buffer.getvalue()


def table_from_bytes(content: bytes, type_: type[T]) -> T:
    """Return the value of `type_` that `bytes_from_table` wrote.

    Raises
    ------
    one of `UNREADABLE`
        Not such an archive.
    """
    hints = _hints(type_)  # type: ignore[arg-type]  # types are hashable
    names = field_names(type_)
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        if archive.comment != _comment(type_):
            found, wanted = archive.comment.decode(errors="replace"), _comment(type_).decode()
            raise ValueError(f"found {found!r}, wanted {wanted!r}")
        if sorted(archive.namelist()) != sorted(f"{name}.npy" for name in names):
            raise ValueError(f"found columns {archive.namelist()}, wanted {names}")
        return type_(*(_field_from(archive, name, hints[name]) for name in names))


@lru_cache(maxsize=64)
def _hints(type_: type) -> dict[str, Any]:
    return get_type_hints(type_)


def _field_from(archive: zipfile.ZipFile, name: str, type_: Any) -> Any:
    # All bytes first, whose CRC is compared: a damaged header may ask for any size of array.
    content = archive.read(f"{name}.npy")
    # numpy's reader compiles the header as a program; a driver reads a million of them.
    header = _HEADER.match(content)
    if header is None:
        raise ValueError(f"column {name}: no header as tables have it: {content[:80]!r}")
    shape = tuple(int(one) for one in header[2].replace(b",", b" ").split())
    dtype, size = np.dtype(header[1].decode()), math.prod(shape)
    if dtype.hasobject:
        raise ValueError("Object arrays cannot be loaded")
    column = np.frombuffer(content, dtype, size, header.end()).reshape(shape).copy()
    return type_(column.item()) if type_ in _SCALARS else column


def _portable(value: object, name: str) -> NDArray[Any]:
    if not isinstance(value, (*_SCALARS, np.ndarray)):
        raise TypeError(f"table: field {name} is a {type(value).__name__}, wanted an array")
    array = np.asarray(value)
    if array.dtype.kind not in "biufcU":
        raise TypeError(f"table: field {name} has type {array.dtype}, wanted numbers or text")
    # ascontiguousarray would give an array without axes one.
    return np.asarray(array, dtype=array.dtype.newbyteorder("<"), order="C")


def _comment(type_: type) -> bytes:
    return f"alignsvc table, format {FORMAT_VERSION}: {type_.__qualname__}".encode()
