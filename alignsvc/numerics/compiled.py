"""Loops over pixels as machine code, for what numpy has no call for.

What is compiled is kept on the disk, beside the source or where `NUMBA_CACHE_DIR` says: a process
pays milliseconds a function, and only the first one ever pays for compiling. Modules that use it
are imported by those who work on pixels, never by the command line.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import ParamSpec, TypeVar, cast

import numba

_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")

#: What a sum needs to use all lanes of a processor: terms in any order, fused products. NaN and
#: infinity keep their meaning.
_ANY_ORDER = frozenset({"reassoc", "contract", "nsz"})


def compiled(function: Callable[_Arguments, _Result]) -> Callable[_Arguments, _Result]:
    """Return a function of arrays and numbers, compiled; every operation in the order written.

    Division by zero gives inf or NaN, as in numpy. The interpreter's lock is let go meanwhile.
    """
    return _compiled(function, frozenset())


def compiled_sums(function: Callable[_Arguments, _Result]) -> Callable[_Arguments, _Result]:
    """Return the same, several terms of a sum at once.

    As with a library's matrix product, the last bits depend on the kind of processor, and on
    nothing else.
    """
    return _compiled(function, _ANY_ORDER)


def _compiled(
    function: Callable[_Arguments, _Result], fastmath: frozenset[str]
) -> Callable[_Arguments, _Result]:
    made = partial(numba.njit, nogil=True, error_model="numpy", fastmath=set(fastmath))
    try:
        return cast(Callable[_Arguments, _Result], made(function, cache=True))
    except RuntimeError:
        # Nowhere to keep it (a package and a home that nobody can write to): each process compiles.
        return cast(Callable[_Arguments, _Result], made(function))
