"""Large arrays come back bit for bit, and without a copy."""

from pathlib import Path

import numpy as np
import pytest

from alignsvc.errors import DamagedProduct
from alignsvc.io.arrays import read_array, write_array
from alignsvc.io.objects import LocalObjects


@pytest.fixture
def objects(tmp_path: Path) -> LocalObjects:
    return LocalObjects(tmp_path)


@pytest.mark.parametrize(
    "array",
    [
        np.arange(12.0, dtype=np.float32).reshape(3, 4)[:, ::2],
        np.array([1.5, -0.0, np.nan], ">f8"),
        np.zeros((0, 3)),
        np.array(7),
    ],
    ids=["not contiguous", "of another byte order", "empty", "without axes"],
)
def test_an_array_comes_back(array: np.ndarray, objects: LocalObjects) -> None:
    found = read_array(objects, "a/b.npy", write_array(objects, "a/b.npy", array))
    assert np.array_equal(found, array, equal_nan=True)
    assert found.shape == array.shape
    assert found.dtype == array.dtype.newbyteorder("<")
    # Anybody reads it, and at an address where arithmetic is fast.
    assert np.array_equal(np.load(objects.root / "a/b.npy"), array, equal_nan=True)
    assert found.flags.aligned


def test_what_was_read_is_not_copied_and_cannot_be_written_to(objects: LocalObjects) -> None:
    found = read_array(objects, "a.npy", write_array(objects, "a.npy", np.ones(5)))
    assert not found.flags.writeable
    assert not found.flags.owndata


def test_damage_is_seen(objects: LocalObjects) -> None:
    checksum = write_array(objects, "a.npy", np.ones(5))
    content = bytearray(objects.get("a.npy"))
    content[-1] ^= 1
    objects.put("a.npy", bytes(content))
    with pytest.raises(DamagedProduct, match="not what was written"):
        read_array(objects, "a.npy", checksum)
    with pytest.raises(DamagedProduct, match=r"b.npy is missing"):
        read_array(objects, "b.npy", checksum)
