"""What exposures' models depend on: fixed, free, shared by name, or expressions of unknowns.

A **quantity** is a row of numbers (a shift and a matrix, the shape of a PSF, a sky) as a function
of **unknowns**. Two quantities that hold an unknown of the same name share it. The table of all
quantities maps the vector of unknowns to the numbers and gives the derivatives; it holds what
exposures have in common, hundreds of unknowns, not the places of sources.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

import numpy as np

from alignsvc.domain.arrays import BoolArray, FloatArray, IntArray


@dataclass(frozen=True, slots=True)
class Unknown:
    """A number that the fit finds.

    Parameters
    ----------
    name : str
        The same name is the same number wherever it stands.
    start : float
        Where the fit begins.
    lowest, highest : float
        Where it may go.
    step : float
        How far it may go in one step.
    linear : bool
        The model is linear in it (a sky): it is found exactly, undamped, for each trial of the
        others.

    Raises
    ------
    ValueError
        A start that is not finite or not between the bounds.
    """

    name: str
    start: float
    lowest: float = -math.inf
    highest: float = math.inf
    step: float = math.inf
    linear: bool = False

    def __post_init__(self) -> None:
        if not (math.isfinite(self.start) and self.lowest <= self.start <= self.highest):
            raise ValueError(
                f"unknown {self.name}: a finite start between {self.lowest} and {self.highest} "
                f"wanted, found {self.start}"
            )


class Quantity(Protocol):
    """A row of numbers as a function of unknowns."""

    @property
    def size(self) -> int:
        """How many numbers it is."""
        ...

    @property
    def unknowns(self) -> tuple[Unknown, ...]:
        """What they depend on."""
        ...

    def values(self, free: FloatArray) -> FloatArray:
        """Return the numbers, shape (size,), at values of the unknowns."""
        ...

    def jacobian(self, free: FloatArray) -> FloatArray:
        """Return their derivatives, shape (size, number of unknowns)."""
        ...


@dataclass(frozen=True, slots=True)
class Fixed:
    """Numbers that are known."""

    numbers: tuple[float, ...]

    @property
    def size(self) -> int:
        """How many numbers it is."""
        return len(self.numbers)

    @property
    def unknowns(self) -> tuple[Unknown, ...]:
        """None."""
        return ()

    def values(self, free: FloatArray) -> FloatArray:
        """Return the numbers."""
        return np.array(self.numbers, float)

    def jacobian(self, free: FloatArray) -> FloatArray:
        """Return an array without columns."""
        return np.zeros((self.size, 0))


@dataclass(frozen=True, slots=True)
class Free:
    """Numbers that are unknowns."""

    unknowns: tuple[Unknown, ...]

    @property
    def size(self) -> int:
        """How many numbers it is."""
        return len(self.unknowns)

    def values(self, free: FloatArray) -> FloatArray:
        """Return the unknowns."""
        return np.array(free, float)

    def jacobian(self, free: FloatArray) -> FloatArray:
        """Return the unit matrix."""
        return np.eye(self.size)


@dataclass(frozen=True, slots=True)
class Combined:
    """Linear combinations of unknowns: ``offset + matrix @ unknowns``.

    With it a sum, a difference, or "minus the sum of all others" is one line.

    Parameters
    ----------
    matrix : tuple of tuples of float, (size, number of unknowns)
    unknowns : tuple of Unknown
    offset : tuple of float, (size,)
    """

    matrix: tuple[tuple[float, ...], ...]
    unknowns: tuple[Unknown, ...]
    offset: tuple[float, ...]

    def __post_init__(self) -> None:
        wanted = (len(self.offset), len(self.unknowns))
        found = np.shape(self.matrix)
        if found != wanted:
            raise ValueError(f"combined: a matrix of shape {wanted} wanted, found {found}")

    @property
    def size(self) -> int:
        """How many numbers it is."""
        return len(self.offset)

    def values(self, free: FloatArray) -> FloatArray:
        """Return the combinations."""
        return np.asarray(np.array(self.offset) + np.array(self.matrix) @ free)

    def jacobian(self, free: FloatArray) -> FloatArray:
        """Return the matrix."""
        return np.array(self.matrix, float)


@dataclass(frozen=True, slots=True)
class Rotated:
    """A 2x2 matrix, row by row: a given one, turned by an angle and scaled.

    Parameters
    ----------
    matrix : tuple of tuples of float
        ``CD0``, from pixels to the plane.
    angle : Unknown
        Radians, from x towards y; R = [[cos, -sin], [sin, cos]].
    acts_on : 'pixels' or 'sky'
        ``CD0 R`` turns the pixels before they are mapped, ``R CD0`` the plane after it. With a
        mirrored CD0 (east to the left) the two turn in opposite senses.
    scale : Unknown or None
        Factor; None: 1.
    """

    matrix: tuple[tuple[float, float], tuple[float, float]]
    angle: Unknown
    acts_on: Literal["pixels", "sky"]
    scale: Unknown | None = None

    @property
    def size(self) -> int:
        """Four numbers."""
        return 4

    @property
    def unknowns(self) -> tuple[Unknown, ...]:
        """The angle, and the scale if it is free."""
        return (self.angle,) if self.scale is None else (self.angle, self.scale)

    def values(self, free: FloatArray) -> FloatArray:
        """Return the elements of the matrix."""
        scale = 1.0 if self.scale is None else float(free[1])
        return scale * self._turned(float(free[0]))

    def jacobian(self, free: FloatArray) -> FloatArray:
        """Return the derivatives by angle and scale."""
        angle = float(free[0])
        # dR/dangle is R a quarter turn on.
        by_angle = self._turned(angle + 0.5 * math.pi)
        if self.scale is None:
            return by_angle[:, None]
        return np.stack([float(free[1]) * by_angle, self._turned(angle)], axis=1)

    def _turned(self, angle: float) -> FloatArray:
        cos, sin = math.cos(angle), math.sin(angle)
        turn, given = np.array([[cos, -sin], [sin, cos]]), np.array(self.matrix)
        turned = given @ turn if self.acts_on == "pixels" else turn @ given
        return np.asarray(turned.ravel())


@dataclass(frozen=True, slots=True)
class Mapped:
    """Linear combinations of a quantity's numbers: ``matrix @ numbers``.

    Parameters
    ----------
    matrix : tuple of tuples of float, (size, of.size)
    of : Quantity
    """

    matrix: tuple[tuple[float, ...], ...]
    of: Quantity

    def __post_init__(self) -> None:
        if np.ndim(self.matrix) != 2 or np.shape(self.matrix)[1] != self.of.size:
            raise ValueError(
                f"mapped: a matrix of {self.of.size} columns wanted, found {np.shape(self.matrix)}"
            )

    @property
    def size(self) -> int:
        """How many numbers it is."""
        return len(self.matrix)

    @property
    def unknowns(self) -> tuple[Unknown, ...]:
        """Those of the quantity."""
        return self.of.unknowns

    def values(self, free: FloatArray) -> FloatArray:
        """Return the combinations."""
        return np.asarray(np.array(self.matrix) @ self.of.values(free))

    def jacobian(self, free: FloatArray) -> FloatArray:
        """Return their derivatives."""
        return np.asarray(np.array(self.matrix) @ self.of.jacobian(free))


@dataclass(frozen=True, slots=True)
class Joined:
    """Quantities one after the other.

    Parameters
    ----------
    parts : tuple of Quantity

    Attributes
    ----------
    size : int
        How many numbers they are together.
    unknowns : tuple of Unknown
        Those of all parts; one that two parts share stands twice.
    """

    parts: tuple[Quantity, ...]
    size: int = field(init=False)
    unknowns: tuple[Unknown, ...] = field(init=False)

    def __post_init__(self) -> None:
        unknowns = tuple(unknown for part in self.parts for unknown in part.unknowns)
        object.__setattr__(self, "size", sum(part.size for part in self.parts))
        object.__setattr__(self, "unknowns", unknowns)

    def values(self, free: FloatArray) -> FloatArray:
        """Return the numbers of all parts."""
        numbers, row, column = np.empty(self.size), 0, 0
        for part in self.parts:
            end, last = row + part.size, column + len(part.unknowns)
            numbers[row:end] = part.values(free[column:last])
            row, column = end, last
        return numbers

    def jacobian(self, free: FloatArray) -> FloatArray:
        """Return the derivatives: blocks along the diagonal."""
        whole, row, column = np.zeros((self.size, len(self.unknowns))), 0, 0
        for part in self.parts:
            end, last = row + part.size, column + len(part.unknowns)
            whole[row:end, column:last] = part.jacobian(free[column:last])
            row, column = end, last
        return whole


class ParameterTable:
    """The unknowns of many quantities, each name once, in the order in which they come.

    Parameters
    ----------
    quantities : sequence of Quantity

    Raises
    ------
    ValueError
        Two unknowns of one name that differ in start, bounds or step.
    """

    def __init__(self, quantities: Sequence[Quantity]) -> None:
        known: dict[str, int] = {}
        unknowns: list[Unknown] = []
        self.quantities = tuple(quantities)
        index = []
        for quantity in self.quantities:
            for unknown in quantity.unknowns:
                if known.setdefault(unknown.name, len(unknowns)) == len(unknowns):
                    unknowns.append(unknown)
                elif unknowns[known[unknown.name]] != unknown:
                    raise ValueError(
                        f"two unknowns are named {unknown.name} and differ: "
                        f"{unknowns[known[unknown.name]]} and {unknown}"
                    )
            index.append(np.array([known[u.name] for u in quantity.unknowns], np.int64))
        self.unknowns = tuple(unknowns)
        self.index: tuple[IntArray, ...] = tuple(index)

    def __len__(self) -> int:
        return len(self.unknowns)

    @property
    def start(self) -> FloatArray:
        """Where each unknown begins."""
        return np.array([unknown.start for unknown in self.unknowns], float)

    @property
    def linear(self) -> BoolArray:
        """Whether the model is linear in each."""
        return np.array([unknown.linear for unknown in self.unknowns], bool)

    @property
    def lowest(self) -> FloatArray:
        """Lower bounds."""
        return np.array([unknown.lowest for unknown in self.unknowns], float)

    @property
    def highest(self) -> FloatArray:
        """Upper bounds."""
        return np.array([unknown.highest for unknown in self.unknowns], float)

    @property
    def step(self) -> FloatArray:
        """Longest steps."""
        return np.array([unknown.step for unknown in self.unknowns], float)

    def moved(self, free: FloatArray, step: FloatArray) -> FloatArray:
        """Return the unknowns after a step, within bounds and cut where it is too long."""
        # Each cut by itself: an exposure that errs about its shape does not hold up the others.
        there = free + np.clip(step, -self.step, self.step)
        return np.asarray(np.clip(there, self.lowest, self.highest))

    def stopped(self, free: FloatArray, push: FloatArray) -> BoolArray:
        """Return which unknowns are at a bound and pushed outwards, by the sign of `push`."""
        return ((free >= self.highest) & (push > 0)) | ((free <= self.lowest) & (push < 0))

    def values(self, which: int, free: FloatArray) -> FloatArray:
        """Return the numbers of one quantity at the whole vector of unknowns."""
        return self.quantities[which].values(free[self.index[which]])

    def jacobian(self, which: int, free: FloatArray) -> FloatArray:
        """Return the derivatives of one quantity by its own unknowns, `index` of them."""
        return self.quantities[which].jacobian(free[self.index[which]])
