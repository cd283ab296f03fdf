"""Measurements outside the driver's memory come back bit for bit, one exposure at a time."""

from __future__ import annotations

import tempfile
from dataclasses import fields

import numpy as np
import pytest

from alignsvc.domain.measurement import Factors
from alignsvc.errors import ResourceError
from alignsvc.io import scratch_rows
from alignsvc.io.scratch_rows import ScratchRows


def some_factors(index: int, n: int) -> Factors:
    random = np.random.default_rng(index)
    return Factors(
        exposure=index,
        source=random.integers(0, 2**62, n),
        residual=random.normal(size=(n, 2)),
        jacobian=random.normal(size=(n, 2, 6)),
        information=random.normal(size=(n, 2, 2)),
        weight_share=random.uniform(size=n),
        use=random.random(n) < 0.5,
        held_out=random.random(n) < 0.5,
        chip=random.integers(0, 4, n),
        profile_error=random.normal(size=(n, 2, index)),  # more numbers in some than in others
    )


@pytest.fixture(params=["in memory", "in a file"])
def anywhere(request, monkeypatch):
    if request.param == "in a file":
        monkeypatch.setattr(scratch_rows, "_IN_MEMORY", 100)


@pytest.mark.usefixtures("anywhere")
def test_values_come_back_bit_for_bit_in_any_order():
    given = [some_factors(index, n) for index, n in enumerate([7, 0, 1, 40])]
    kept = ScratchRows(iter(given))
    assert len(kept) == 4
    for index in (3, 0, 1, 2, -1, 0):
        for field in fields(Factors):
            was, found = (getattr(each[index], field.name) for each in (given, kept))
            assert np.array_equal(was, found)
            assert type(was) is type(found)
            assert not isinstance(found, np.ndarray) or was.dtype == found.dtype
        for name in ("source", "jacobian", "profile_error", "use"):
            assert np.array_equal(kept.column(index, name), getattr(given[index], name))
    assert [one.exposure for one in kept[1:3]] == [1, 2]
    assert [len(one) for one in kept] == [7, 0, 1, 40]


@pytest.mark.usefixtures("anywhere")
def test_nobody_writes_through_what_is_read():
    kept = ScratchRows([some_factors(0, 5)])
    with pytest.raises(ValueError, match="read-only"):
        kept[0].residual[0] = 1.0


def test_nothing_can_be_kept_too():
    kept = ScratchRows([])
    assert list(kept) == []
    with pytest.raises(IndexError):
        kept[0]


def test_a_full_disk_is_told_with_what_to_do(monkeypatch):
    class FullDisk(tempfile.SpooledTemporaryFile):
        def write(self, *_):
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(tempfile, "SpooledTemporaryFile", FullDisk)
    with pytest.raises(ResourceError, match="No space left on device; set TMPDIR"):
        ScratchRows([some_factors(0, 5)])
