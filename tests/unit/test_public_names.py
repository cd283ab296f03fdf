"""What `import alignsvc` offers is there, and grows only on purpose."""

import importlib

import pytest

import alignsvc


@pytest.mark.parametrize("name", alignsvc.__all__)
def test_every_public_name_can_be_had_and_is_described(name: str) -> None:
    found = getattr(alignsvc, name)
    assert isinstance(found, str) or found.__doc__


def test_a_name_that_is_not_public_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = alignsvc.nothing


def test_public_names_are_those_of_the_api() -> None:
    api = importlib.import_module("alignsvc.api")
    assert set(alignsvc.__all__) - {"__version__"} <= set(api.__all__)


def test_names_are_offered_before_they_are_imported() -> None:
    assert dir(alignsvc) == sorted(alignsvc.__all__)
