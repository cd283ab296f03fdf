"""The parts of `make bench`: known by name, and each replaces its own rows only."""

import subprocess
import sys
from pathlib import Path

import pytest
from harness import RESULTS, with_part
from run_all import PARTS

TEXT = """By hand.
<!-- steps: begin -->
old steps
<!-- steps: end -->
Between.
<!-- tasks: begin -->
old tasks
<!-- tasks: end -->
Last words.
"""


def test_a_part_replaces_what_stands_between_its_own_marks_only() -> None:
    assert with_part(TEXT, "steps", "new\n\nrows") == TEXT.replace("old steps", "new\n\nrows")
    once = with_part(TEXT, "tasks", "new")
    assert with_part(once, "tasks", "new") == once


@pytest.mark.parametrize("spoiled", ["", TEXT + TEXT, TEXT.replace("steps: end", "steps: over")])
def test_results_without_a_place_for_a_part_are_refused(spoiled: str) -> None:
    with pytest.raises(ValueError, match="<!-- steps: begin -->"):
        with_part(spoiled, "steps", "new")


def test_every_part_has_its_place_in_the_results() -> None:
    text = RESULTS.read_text()
    for name in PARTS:
        assert with_part(text, name, "new") != text
        assert PARTS[name].__doc__


def test_a_part_that_is_not_known_is_refused_with_the_names_of_those_that_are() -> None:
    script = Path(__file__).with_name("run_all.py")
    done = subprocess.run(
        [sys.executable, str(script), "whole", "nonsense"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "no part nonsense" in done.stderr
    assert all(name in done.stderr for name in PARTS)
