"""One large array as an object: ``.npy`` bytes, read without a copy."""

from __future__ import annotations

import hashlib
import io
from typing import Any

import numpy as np
from numpy.typing import NDArray

from alignsvc.errors import DamagedProduct
from alignsvc.io.objects import ObjectStore


def write_array(objects: ObjectStore, name: str, array: NDArray[Any]) -> str:
    """Write an array of numbers; return the SHA-256 of the bytes written."""
    portable = np.asarray(array, array.dtype.newbyteorder("<"), order="C")
    header = io.BytesIO()
    described = np.lib.format.header_data_from_array_1_0(portable)
    np.lib.format.write_array_header_1_0(header, described)
    content = header.getvalue() + portable.reshape(-1).data.cast("B")
    objects.put(name, content)
    return hashlib.sha256(content).hexdigest()


def read_array(objects: ObjectStore, name: str, checksum: str) -> NDArray[Any]:
    """Return the read-only array that was written as `name`: the bytes as they were read.

    Parameters
    ----------
    objects : ObjectStore
    name : str
    checksum : str
        What `write_array` returned.

    Raises
    ------
    DamagedProduct
        Missing or damaged.
    """
    content = objects.find(name)
    if content is None:
        raise DamagedProduct(f"array {name} is missing")
    if hashlib.sha256(content).hexdigest() != checksum:
        raise DamagedProduct(f"array {name}: its content is not what was written")
    header = io.BytesIO(content)
    np.lib.format.read_magic(header)
    shape, is_fortran, dtype = np.lib.format.read_array_header_1_0(header)
    assert not is_fortran
    return np.frombuffer(content, dtype, offset=header.tell()).reshape(shape)
