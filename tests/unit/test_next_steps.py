"""Each reason has its sentence, and says what to do about it."""

from __future__ import annotations

import pytest

from alignsvc.reasons import NEXT_STEP, REASON_TEXT, FailureKind, SkipReason


@pytest.mark.parametrize("reason", [*SkipReason, *FailureKind])
def test_each_reason_has_a_sentence_and_a_next_step(reason: SkipReason | FailureKind) -> None:
    assert REASON_TEXT[reason] and NEXT_STEP[reason]
    assert not NEXT_STEP[reason].endswith(".")
