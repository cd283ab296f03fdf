"""What `import alignsvc` offers is there, and grows only on purpose."""

import doctest
import importlib
from pathlib import Path

import pytest

import alignsvc
from alignsvc import plots
from alignsvc.cli.main import app


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


def test_examples_run() -> None:
    found = doctest.testmod(importlib.import_module("alignsvc.building_blocks"))
    assert found.attempted and not found.failed


def test_every_plot_is_in_the_page_about_figures() -> None:
    page = Path(__file__).parents[2].joinpath("docs", "plots.md").read_text()
    assert [name for name in plots.__all__ if name.islower() and f"`{name}(" not in page] == []


def test_every_command_can_be_called_from_python() -> None:
    commands = {command.name or command.callback.__name__ for command in app.registered_commands}
    named_otherwise = {"run": "align", "list": "list_runs", "version": "__version__"}
    wanted = {named_otherwise.get(name, name) for name in commands}
    assert wanted <= set(alignsvc.__all__)
