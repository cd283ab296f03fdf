"""Plug-ins are found by name, and settings that do not fit are named."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from pathlib import Path

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


def test_a_plugin_is_found_without_its_siblings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # One of them may need a package that takes half a second to import, or is not there.
    family = tmp_path / "some_family"
    family.mkdir()
    (family / "__init__.py").write_text(
        "from alignsvc.registry import Registry\nFAMILY = Registry('kind', 'some_family')\n"
    )
    (family / "light.py").write_text(
        "from dataclasses import dataclass\nfrom some_family import FAMILY\n"
        "@FAMILY.register('light')\n@dataclass(frozen=True)\nclass Light: ...\n"
    )
    (family / "heavy.py").write_text("raise ImportError('a package is missing')\n")
    monkeypatch.syspath_prepend(tmp_path)
    package = importlib.import_module("some_family")
    assert type(package.FAMILY.build("light", {})).__name__ == "Light"
    with pytest.raises(ImportError, match="a package is missing"):
        package.FAMILY.build("lihgt", {})
