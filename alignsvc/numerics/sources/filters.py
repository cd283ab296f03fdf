"""Which sources are used: filters written as text, one condition each, applied in order.

::

    COLUMN < | <= | > | >= | == | != NUMBER
    COLUMN between NUMBER and NUMBER            (both included)
    highest COUNT of COLUMN, lowest COUNT of COLUMN
    not FLAG                                    (a flag of SourceFlag: saturated, at_edge, ...)
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any, Protocol, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from alignsvc.domain.arrays import BoolArray, IntArray
from alignsvc.domain.geometry import PixelBox
from alignsvc.domain.quality import SourceFlag
from alignsvc.domain.sources import SourceCatalog
from alignsvc.errors import ConfigError
from alignsvc.spelling import nearest

S = TypeVar("S", bound=SourceCatalog)
Columns: TypeAlias = Mapping[str, NDArray[Any]]
#: The columns that a source of the mosaic has.
SOURCE_COLUMNS = tuple(field.name for field in fields(SourceCatalog))
GRAMMAR = (
    "COLUMN < <= > >= == != NUMBER, COLUMN between NUMBER and NUMBER, "
    "highest|lowest COUNT of COLUMN, or not FLAG"
)

_OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
}
_FLAGS = {flag.name.lower(): flag for flag in SourceFlag if flag.name}
_NAME, _NUMBER = r"([A-Za-z_]\w*)", r"([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)"
_COMPARISON = re.compile(rf"{_NAME}\s*(<=|>=|==|!=|<|>)\s*{_NUMBER}")
_BETWEEN = re.compile(rf"{_NAME}\s+between\s+{_NUMBER}\s+and\s+{_NUMBER}")
_EXTREME = re.compile(rf"(highest|lowest)\s+(\d+)\s+of\s+{_NAME}")
_NOT = re.compile(rf"not\s+{_NAME}")


class Filter(Protocol):
    """One condition."""

    def __call__(self, columns: Columns) -> BoolArray:
        """Return which rows stay. A NaN fulfils no condition on its column."""
        ...


@dataclass(frozen=True, slots=True)
class Comparison:
    """Rows whose `column` compares with `value` as `symbol` says."""

    column: str
    symbol: str
    value: float

    def __call__(self, columns: Columns) -> BoolArray:
        """Return which rows stay."""
        values = columns[self.column]
        kept: BoolArray = _OPERATORS[self.symbol](values, self.value) & ~np.isnan(values)
        return kept


@dataclass(frozen=True, slots=True)
class Between:
    """Rows whose `column` lies from `low` to `high`, both included."""

    column: str
    low: float
    high: float

    def __call__(self, columns: Columns) -> BoolArray:
        """Return which rows stay."""
        values = columns[self.column]
        kept: BoolArray = (values >= self.low) & (values <= self.high)
        return kept


@dataclass(frozen=True, slots=True)
class Highest:
    """The `count` rows with the highest `column`; of equal ones those that come first."""

    column: str
    count: int

    def __call__(self, columns: Columns) -> BoolArray:
        """Return which rows stay."""
        return _first(-columns[self.column].astype(np.float64), self.count)


@dataclass(frozen=True, slots=True)
class Lowest:
    """The `count` rows with the lowest `column`; of equal ones those that come first."""

    column: str
    count: int

    def __call__(self, columns: Columns) -> BoolArray:
        """Return which rows stay."""
        return _first(columns[self.column].astype(np.float64), self.count)


@dataclass(frozen=True, slots=True)
class Without:
    """Rows that do not carry `flag`."""

    flag: SourceFlag

    def __call__(self, columns: Columns) -> BoolArray:
        """Return which rows stay."""
        kept: BoolArray = (columns["flags"] & int(self.flag)) == 0
        return kept


def _first(keys: NDArray[np.float64], count: int) -> BoolArray:
    kept = np.zeros(keys.size, bool)
    kept[np.argsort(keys, kind="stable")[:count]] = True  # NaN sorts last
    return kept & ~np.isnan(keys)


def parse_filter(text: str, columns: tuple[str, ...] = SOURCE_COLUMNS) -> Filter:
    """Return the filter that `text` describes, for a table with these `columns`.

    Raises
    ------
    ConfigError
        The text is none of the forms of `GRAMMAR`, or names a column or flag that is absent;
        the nearest name is given.
    """
    words = text.strip()
    if match := _BETWEEN.fullmatch(words):
        low, high = float(match[2]), float(match[3])
        if low > high:
            raise ConfigError(f"filter {text!r}: {low} is above {high}; exchange the limits")
        return Between(_known(match[1], columns, "column", text), low, high)
    if match := _COMPARISON.fullmatch(words):
        return Comparison(_known(match[1], columns, "column", text), match[2], float(match[3]))
    if match := _EXTREME.fullmatch(words):
        kind = Highest if match[1] == "highest" else Lowest
        return kind(_known(match[3], columns, "column", text), int(match[2]))
    if match := _NOT.fullmatch(words):
        _known("flags", columns, "column", text)
        return Without(_FLAGS[_known(match[1], tuple(_FLAGS), "flag", text)])
    raise ConfigError(f"filter {text!r} is not understood; wanted {GRAMMAR}")


def _known(name: str, known: tuple[str, ...], kind: str, text: str) -> str:
    if name in known:
        return name
    raise ConfigError(f"filter {text!r}: there is no {kind} {name!r}{nearest(name, known)}")


def kept_rows(columns: Columns, filters: Iterable[Filter]) -> IntArray:
    """Return the indices, rising, of the rows that pass all `filters`, applied in order.

    The order matters to `Highest` and `Lowest`: they count what the filters before them left.
    """
    n = len(next(iter(columns.values()))) if columns else 0
    rows = np.arange(n, dtype=np.int64)
    for condition in filters:
        rows = rows[condition({name: column[rows] for name, column in columns.items()})]
    return rows


def apply_filters(catalog: S, filters: Iterable[Filter]) -> S:
    """Return the sources of `catalog` that pass all `filters`, applied in order.

    Sources keep their order, which is that of their ids: of equal ones the lower id wins.
    """
    return catalog.select(kept_rows(dict(catalog.columns()), filters))


def strongest(catalog: S, max_sources: int) -> S:
    """Return the `max_sources` sources with the highest signal to noise, in order of id."""
    return apply_filters(catalog, [Highest("snr", max_sources)])


def within(sources: S, box: PixelBox) -> S:
    """Return the sources whose nearest pixel of the grid lies in `box`."""
    x, y = np.rint(sources.x), np.rint(sources.y)
    inside = (x >= box.x0) & (x < box.x1) & (y >= box.y0) & (y < box.y1)
    return sources.select(inside)
