"""Plug-ins are found by name, and settings that do not fit are named."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from alignsvc.errors import ConfigError
from alignsvc.registry import Registry

FAMILY: Registry[object] = Registry("example", "alignsvc.cli")


@FAMILY.register("sample")
@dataclass(frozen=True)
class Sample:
    count: int
    width_px: float = 1.0
    label: str | None = None
    is_round: bool = False
    shape: tuple[int, int] = (1, 1)


def test_settings_are_the_fields() -> None:
    built = FAMILY.build("sample", {"count": 3, "width_px": 2, "label": None, "shape": (2, 3)})
    assert built == Sample(3, 2, None, shape=(2, 3))


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({}, "setting count is required"),
        ({"count": "3"}, "setting count: found '3', wanted a whole number"),
        ({"count": True}, "setting count: found True, wanted a whole number"),
        ({"count": 3, "width_px": "wide"}, "found 'wide', wanted a number"),
        ({"count": 3, "label": 7}, "setting label: found 7, wanted a text or null"),
        ({"count": 3, "is_round": 1}, "wanted true or false"),
        ({"count": 3, "widht_px": 1}, "did you mean 'width_px'?"),
    ],
)
def test_a_setting_that_does_not_fit_is_named(settings: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigError, match="example 'sample'") as caught:
        FAMILY.build("sample", settings)
    assert said in str(caught.value)


def test_an_unknown_plugin_is_named_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"no example is named 'simple'; did you mean 'sample'"):
        FAMILY.build("simple", {})


def test_a_name_is_taken_once() -> None:
    with pytest.raises(ValueError, match="two examples are named 'sample'"):
        FAMILY.register("sample")(type("Other", (), {}))
