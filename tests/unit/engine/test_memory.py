"""A task that asks for too much is told so; what it leaves behind is as it was."""

from __future__ import annotations

import resource
import sys

import numpy as np
import pytest

from alignsvc.engine.memory import memory_allowed
from alignsvc.tasks.memory import allocated_bytes, forget_peak, peak_bytes

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="limits are enforced on Linux only")


def test_what_goes_beyond_is_refused_and_what_stays_below_is_not() -> None:
    before = resource.getrlimit(resource.RLIMIT_DATA)
    limit = 2 * allocated_bytes() + (1 << 30)
    with memory_allowed(limit):
        np.empty(limit // 4, np.uint8)
        with pytest.raises(MemoryError):
            np.empty(limit, np.uint8)
    np.empty(limit, np.uint8)
    assert resource.getrlimit(resource.RLIMIT_DATA) == before


def test_a_process_that_is_full_already_can_still_tell() -> None:
    with memory_allowed(1):
        assert len(bytearray(1 << 20)) == 1 << 20


def test_no_limit_limits_nothing() -> None:
    before = resource.getrlimit(resource.RLIMIT_DATA)
    with memory_allowed(None):
        assert resource.getrlimit(resource.RLIMIT_DATA) == before


def test_the_peak_is_that_of_the_time_since_it_was_forgotten() -> None:
    np.ones(100 << 20, np.uint8)
    forget_peak()
    low = peak_bytes()
    np.ones(100 << 20, np.uint8)
    assert peak_bytes() - low > 90 << 20
    forget_peak()
    assert peak_bytes() - low < 50 << 20
