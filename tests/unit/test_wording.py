"""Numbers of things in sentences: one is singular, everywhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import alignsvc
from alignsvc.wording import counted

#: What stands before a plural without a thought for one: ``{n} tiles``.
BY_HAND = re.compile(r"\} (tiles|tasks|passes|files|workers|components|objects)\b")


@pytest.mark.parametrize(
    ("number", "words"), [(0, "0 passes"), (1, "1 pass"), (2, "2 passes"), (1000, "1000 passes")]
)
def test_one_thing_is_singular(number: int, words: str) -> None:
    assert counted(number, "pass", "passes") == words
    assert counted(number, "tile") == f"{number} tile{'s' * (number != 1)}"


def test_no_sentence_counts_by_hand() -> None:
    package = Path(alignsvc.__file__).parent
    found = [
        f"{path.relative_to(package)}: {line.strip()}"
        for folder in ("cli", "run", "engine", "simulation")
        for path in sorted((package / folder).rglob("*.py"))
        for line in path.read_text().splitlines()
        if BY_HAND.search(line)
    ]
    assert found == []
