"""Fields of dataclasses by name."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from alignsvc.fields import field_names


@dataclass(frozen=True, slots=True)
class Two:
    first: int
    second: str = ""


def test_a_type_and_its_values_have_the_same_names_in_order() -> None:
    assert field_names(Two) == field_names(Two(1)) == ("first", "second")


@pytest.mark.parametrize("other", [3, int, ("first",)])
def test_what_has_no_fields_is_refused(other: object) -> None:
    with pytest.raises(TypeError, match="wanted a dataclass"):
        field_names(other)
