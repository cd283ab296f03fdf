"""Tables come back bit for bit; the same value is always the same bytes."""

from __future__ import annotations

import hashlib
import io
import pickle
import time
import zipfile
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from alignsvc.domain.measurement import Displacements, Factors
from alignsvc.domain.sources import SourceCatalog
from alignsvc.errors import RunStoreError
from alignsvc.io.objects import LocalObjects
from alignsvc.io.tables import bytes_from_table, read_table, table_from_bytes, write_table

N = 5


@pytest.fixture
def objects(tmp_path: Path) -> LocalObjects:
    return LocalObjects(tmp_path)


def catalog(n: int = N) -> SourceCatalog:
    whole = {"id", "component", "area", "flags"}
    return SourceCatalog(
        *(np.arange(n) + 10 if f.name in whole else np.arange(n) / 4 for f in fields(SourceCatalog))
    )


def displacements() -> Displacements:
    one, column = np.arange(N), np.linspace(-1, 1, N)
    column[2] = np.nan
    three = np.outer(column, [1.0, 2.0, 3.0])
    return Displacements(one, one, *(column,) * 4, three, three, column, column, one)


def factors() -> Factors:
    return Factors(
        7,
        np.arange(N),
        np.ones((N, 2)),
        np.ones((N, 2, 6)),
        np.ones((N, 2, 2)),
        np.ones(N),
        np.arange(N) % 2 == 0,
        np.arange(N) % 2 == 1,
    )


@pytest.mark.parametrize(
    "value",
    [catalog(), SourceCatalog.empty(), displacements(), factors()],
    ids=["catalogue", "empty", "displacements", "factors"],
)
def test_a_table_comes_back_bit_for_bit(objects: LocalObjects, value: Any) -> None:
    checksum = write_table(objects, "tables/a.npz", value)
    found = read_table(objects, "tables/a.npz", type(value), checksum)
    assert type(found) is type(value)
    for field in fields(value):
        one, other = np.asarray(getattr(value, field.name)), np.asarray(getattr(found, field.name))
        assert (one.dtype, one.shape, one.tobytes()) == (other.dtype, other.shape, other.tobytes())
    assert bytes_from_table(found) == bytes_from_table(value)


def test_the_bytes_do_not_know_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    first = bytes_from_table(catalog())
    monkeypatch.setattr(time, "time", lambda: 2e9)
    assert bytes_from_table(catalog()) == first
    # Written down once for this format: the digests of runs depend on it.
    assert hashlib.sha256(first).hexdigest() == (
        "6bc82858b1fe5d0c23a4a838242ab24732f781a7f1e791d5fc62de467080b2aa"
    )


def test_numpy_reads_the_columns(objects: LocalObjects) -> None:
    write_table(objects, "a.npz", catalog())
    with np.load(io.BytesIO(objects.get("a.npz")), allow_pickle=False) as columns:
        assert columns["ra"].tolist() == catalog().ra.tolist()


def test_memory_order_and_views_do_not_count() -> None:
    value = factors()
    other = replace(value, jacobian=np.asfortranarray(value.jacobian), use=value.use[::-1][::-1])
    assert bytes_from_table(other) == bytes_from_table(value)


def test_any_flipped_bit_is_noticed(objects: LocalObjects) -> None:
    checksum = write_table(objects, "a.npz", catalog())
    whole = objects.get("a.npz")
    for place in range(0, len(whole), len(whole) // 50):
        objects.put("a.npz", whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with pytest.raises(RunStoreError, match=r"a.npz: its content is not what was written"):
            read_table(objects, "a.npz", SourceCatalog, checksum)


def test_a_cut_table_is_noticed_without_its_checksum(objects: LocalObjects) -> None:
    write_table(objects, "a.npz", catalog())
    objects.put("a.npz", objects.get("a.npz")[:-100])
    with pytest.raises(RunStoreError, match=r"table a.npz"):
        read_table(objects, "a.npz", SourceCatalog)


def test_a_table_of_another_class_is_refused(objects: LocalObjects) -> None:
    write_table(objects, "a.npz", displacements())
    with pytest.raises(RunStoreError, match=r"found .*Displacements.*, wanted .*SourceCatalog"):
        read_table(objects, "a.npz", SourceCatalog)
    with pytest.raises(RunStoreError, match=r"b.npz is missing"):
        read_table(objects, "b.npz", SourceCatalog)


@dataclass(frozen=True)
class Mixed:
    name: str
    size: float
    is_open: bool
    words: NDArray[Any]


def test_numbers_and_text_keep_their_types() -> None:
    found = table_from_bytes(bytes_from_table(Mixed("ü", 0.1, True, np.array(["a", "bc"]))), Mixed)
    assert (found.name, found.size, found.is_open, found.words.tolist()) == (
        *("ü", 0.1, True),
        ["a", "bc"],
    )


@pytest.mark.parametrize("words", [np.array([None]), [1, 2], {"a": 1}])
def test_what_would_need_pickle_is_not_written(words: Any) -> None:
    with pytest.raises(TypeError, match="field words"):
        bytes_from_table(Mixed("", 0.0, False, words))


class Evil:
    """Would run code when unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (Path("evil"),))


def test_nothing_in_the_store_is_unpickled(
    objects: LocalObjects, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    column = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        column, {"descr": "|O", "fortran_order": False, "shape": (1,)}
    )
    column.write(pickle.dumps([Evil()]))
    archive = io.BytesIO(bytes_from_table(Mixed("", 0.0, False, np.zeros(1))))
    out = io.BytesIO()
    with zipfile.ZipFile(archive) as good, zipfile.ZipFile(out, "w") as bad:
        bad.comment = good.comment
        for name in good.namelist():
            bad.writestr(name, column.getvalue() if name == "words.npy" else good.read(name))
    objects.put("a.npz", out.getvalue())
    with pytest.raises(RunStoreError, match=r"a.npz: Object arrays cannot be loaded"):
        read_table(objects, "a.npz", Mixed)
    assert not Path("evil").exists()
