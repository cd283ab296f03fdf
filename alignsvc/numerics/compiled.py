"""Loops over pixels as machine code, for what numpy has no call for.

What is compiled is kept on the disk (`kept_code`): a process pays milliseconds a function, and only
the first one ever pays for compiling. The compiler is imported when a loop is first called: a
command line, a driver and a plan do without it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, update_wrapper
from typing import Any, Generic, ParamSpec, TypeVar

_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")

#: What a sum needs to use all lanes of a processor: terms in any order, fused products. NaN and
#: infinity keep their meaning.
_ANY_ORDER = frozenset({"reassoc", "contract", "nsz"})


def compiled(function: Callable[_Arguments, _Result]) -> Callable[_Arguments, _Result]:
    """Return a function of arrays and numbers, compiled; every operation in the order written.

    Division by zero gives inf or NaN, as in numpy. The interpreter's lock is let go meanwhile.
    """
    return Compiled(function, frozenset())


def compiled_sums(function: Callable[_Arguments, _Result]) -> Callable[_Arguments, _Result]:
    """Return the same, several terms of a sum at once.

    As with a library's matrix product, the last bits depend on the kind of processor, and on
    nothing else.
    """
    return Compiled(function, _ANY_ORDER)


def make_compiler_ready() -> None:
    """Import the compiler and what finds compiled loops: 0.8 s that the first loop need not take.

    Loops may be called meanwhile, in other threads.
    """
    from alignsvc.numerics.kept_code import make_ready

    make_ready()


@dataclass(frozen=True, slots=True)
class LoopsUsed:
    """Loops of this package that this process called, one for each way of calling it.

    Parameters
    ----------
    n_compiled, n_found : int
        Those that it had to compile, and those that were on the disk.
    """

    n_compiled: int
    n_found: int


def loops_used() -> LoopsUsed:
    """Return what the loops that were called so far have cost this process."""
    package = __name__.partition(".")[0]
    modules = [module for name, module in sys.modules.items() if name.startswith(f"{package}.")]
    of = {one for module in modules for one in vars(module).values() if isinstance(one, Compiled)}
    stats = [one.dispatcher.stats for one in of if one.is_used]
    return LoopsUsed(
        sum(one.cache_misses.total() for one in stats), sum(one.cache_hits.total() for one in stats)
    )


class Compiled(Generic[_Arguments, _Result]):
    """A function that is compiled, or found on the disk, when it is first called.

    Compiled functions call each other by name; numba asks each for its type.
    """

    def __init__(self, function: Callable[_Arguments, _Result], fastmath: frozenset[str]) -> None:
        update_wrapper(self, function)
        self._function = function
        self._fastmath = fastmath

    def __call__(self, *args: _Arguments.args, **kwargs: _Arguments.kwargs) -> _Result:
        """Return what the function returns."""
        result: _Result = self.dispatcher(*args, **kwargs)
        return result

    def __reduce__(self) -> str:
        return self._function.__qualname__

    @cached_property
    def dispatcher(self) -> Any:
        """What numba makes of the function: a ``numba.core.dispatcher.Dispatcher``."""
        import numba

        from alignsvc.numerics.kept_code import KeptCode

        # Terms in any order: a loop that others call must become a part of each of them. As a
        # function of its own it is optimised again in each, other bits, and which of these is
        # called depends on whether this process compiled it or found it.
        made: Any = numba.njit(
            nogil=True,
            error_model="numpy",
            fastmath=set(self._fastmath),
            forceinline=bool(self._fastmath),
        )(self._function)
        made._cache = KeptCode(made)
        return made

    @property
    def is_used(self) -> bool:
        """Whether anybody called the function in this process."""
        return "dispatcher" in vars(self)

    @property
    def _numba_type_(self) -> object:
        return self.dispatcher._numba_type_
