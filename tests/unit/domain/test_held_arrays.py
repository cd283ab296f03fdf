"""Arrays of frozen values cannot be written through, and are what they are said to be."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from alignsvc.domain.arrays import FloatArray, hold_float64, hold_read_only


@dataclass(frozen=True, slots=True, eq=False)
class Held:
    at: FloatArray
    other: FloatArray
    names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        hold_read_only(self, *self.names)


@dataclass(frozen=True, slots=True, eq=False)
class Numbers:
    at: FloatArray

    def __post_init__(self) -> None:
        hold_float64(self, "at")


def test_a_value_that_names_arrays_holds_these_read_only_and_no_others() -> None:
    held = Held(np.zeros(2), np.zeros(2), ("at",))
    assert not held.at.flags.writeable
    assert held.other.flags.writeable


def test_the_array_that_was_handed_over_stays_writeable_and_is_not_copied() -> None:
    own = np.zeros(2)
    held = Held(own, own, ("at",))
    own[0] = 1.0
    assert held.at[0] == 1.0
    with pytest.raises(ValueError, match="read-only"):
        held.at[0] = 2.0


def test_whole_numbers_become_float64() -> None:
    numbers = Numbers(np.arange(3))
    assert numbers.at.dtype == np.float64
    assert not numbers.at.flags.writeable
