"""Skies of known truth, aligned through the public interface, each once a session."""

from __future__ import annotations

import pytest
from simulated_cases import Align, Aligned, Case, aligned_in


@pytest.fixture(scope="session")
def align(tmp_path_factory: pytest.TempPathFactory) -> Align:
    """Simulate a case, align it, judge it; the same case again is only looked up."""
    known: dict[str, Aligned] = {}

    def run(case: Case) -> Aligned:
        if repr(case) not in known:
            known[repr(case)] = aligned_in(tmp_path_factory.mktemp(str(case)), case)
        return known[repr(case)]

    return run
