"""What is said while headers are written is told once, with the exposures that it is said of."""

from __future__ import annotations

from alignsvc.run.finishing.writing_headers import header_notes


def test_the_same_words_of_many_headers_are_one_note_that_names_some() -> None:
    names = [f"e{k}" for k in range(7)]
    assert header_notes({"HDU 0: S_REGION stays": names, "HDU 1: CROTA2": ["e3"]}) == (
        "header of e0, e1, e2, e3, e4 and 2 more: HDU 0: S_REGION stays",
        "header of e3: HDU 1: CROTA2",
    )
