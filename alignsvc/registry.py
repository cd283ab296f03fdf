"""Families of plug-ins: one file each, found by name.

A family is a package. Each module in it that defines a plug-in decorates the class::

    @CORRELATORS.register("ncc")
    @dataclass(frozen=True)
    class NormalisedCorrelation: ...

A new plug-in is one new file in the family's package; nothing else is edited.
"""

from __future__ import annotations

import dataclasses
import importlib
import pkgutil
import types
import typing
from collections.abc import Callable, Mapping
from typing import Generic, TypeVar

from alignsvc.errors import ConfigError
from alignsvc.fields import field_names
from alignsvc.spelling import nearest
from alignsvc.wording import wanted_words

T = TypeVar("T")
C = TypeVar("C", bound=type)


class Registry(Generic[T]):
    """The plug-ins of one family.

    Parameters
    ----------
    family : str
        What the plug-ins are, for messages: ``"correlator"``.
    package : str
        Dotted name of the package whose modules define them; imported when they are looked up.
    """

    def __init__(self, family: str, package: str) -> None:
        self.family = family
        self._package = package
        self._classes: dict[str, type[T]] = {}

    def register(self, name: str) -> Callable[[C], C]:
        """Return a decorator that files a class under `name`."""

        def keep(cls: C) -> C:
            if name in self._classes and self._classes[name] is not cls:
                raise ValueError(f"two {self.family}s are named {name!r}")
            self._classes[name] = cls
            return cls

        return keep

    def names(self) -> tuple[str, ...]:
        """Return the names of all plug-ins of the family, sorted."""
        for module in self._modules():
            importlib.import_module(f"{self._package}.{module}")
        return tuple(sorted(self._classes))

    def _modules(self) -> tuple[str, ...]:
        package = importlib.import_module(self._package)
        return tuple(module.name for module in pkgutil.iter_modules(package.__path__))

    def _found(self, name: str) -> type[T]:
        """Return the plug-in `name`, from the module of its own name if there is one.

        Others stay where they are: one plug-in may need a large package, and a run needs one.
        """
        if name not in self._classes and name in self._modules():
            importlib.import_module(f"{self._package}.{name}")
        if name not in self._classes and name not in (known := self.names()):
            raise ConfigError(f"no {self.family} is named {name!r}{nearest(name, known)}")
        return self._classes[name]

    def build(self, name: str, settings: Mapping[str, object]) -> T:
        """Return the plug-in `name` with `settings` as its fields.

        Raises
        ------
        ConfigError
            No such plug-in, or a setting that it does not have; the nearest name is given.
        """
        cls = self._found(name)
        fields = field_names(cls)
        for key in settings:
            if key not in fields:
                raise ConfigError(
                    f"{self.family} {name!r} has no setting {key!r}{nearest(key, fields)}"
                )
        hints = typing.get_type_hints(cls)
        for key, value in settings.items():
            if not _suits(value, hints[key]):
                raise ConfigError(
                    f"{self.family} {name!r}: setting {key}: found {value!r}, "
                    f"wanted {wanted_words(hints[key])}"
                )
        missing = [
            field.name
            for field in dataclasses.fields(cls)  # type: ignore[arg-type]  # `field_names` looked
            if field.name not in settings
            and field.default is dataclasses.MISSING
            and field.default_factory is dataclasses.MISSING
        ]
        if missing:
            raise ConfigError(f"{self.family} {name!r}: setting {missing[0]} is required")
        return cls(**settings)


def _suits(value: object, hint: object) -> bool:
    """Return whether a value from YAML is of a plain type; what is no plain type is not judged."""
    if isinstance(hint, types.UnionType):
        return any(_suits(value, one) for one in hint.__args__)
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if hint in (str, bool, types.NoneType):
        return isinstance(value, typing.cast(type, hint))
    return True
