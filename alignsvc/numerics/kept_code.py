"""Machine code of compiled functions, kept on the disk: a file for each way a function is called.

numba has a cache of its own. It is not used, for four reasons: a file cut short by a full disk or a
kill, or a disk that is full, ends the run; two machines that share a folder can write each other's
code under one name; a caller compiled before another module changed is taken for fresh; and code in
a folder that nobody can write to, as in a container's image, is not found.
"""

from __future__ import annotations

import hashlib
import inspect
import pickle
import uuid
from collections.abc import Callable, Iterator
from functools import cache, cached_property
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

import llvmlite  # type: ignore[import-untyped]
import numba
from numba.core import types
from numba.core.caching import NullCache
from numba.core.compiler import CompileResult
from numba.core.compiler_lock import global_compiler_lock
from numba.core.dispatcher import Dispatcher
from numba.core.registry import cpu_target
from numba.core.serialize import dumps

from alignsvc.numerics.compile_turns import Turn, wait_for_turn
from alignsvc.numerics.kept_places import PYTHON, SUFFIX, folders_of

_DIGEST_BYTES = 32
_NAME_DIGITS = 16
#: What ends the name of a file that shows whose turn it is to compile.
_TURN = ".turn"

# What numba tells type checkers of itself is little.
_rebuilt: Callable[..., object] = CompileResult._rebuild
_dumped: Callable[[object], bytes] = dumps


class KeptCode(NullCache):
    """What numba asks for the code of a function, and gives it to.

    A file is named by all that its code depends on: the source of the function and of those that it
    calls, the arguments' types, the kind of processor, the versions of Python and of numba. So a
    file is never out of date; what cannot be read, or is not whole, is compiled again.

    Parameters
    ----------
    dispatcher : Dispatcher
        The compiled function, none of whose code was asked for yet.
    """

    def __init__(self, dispatcher: Dispatcher) -> None:
        self._dispatcher = dispatcher
        self._turns: dict[str, Turn] = {}

    @property
    def cache_path(self) -> str:
        """The first place in which code is looked for."""
        return str(next(iter(self._folders), ""))

    def load_overload(self, sig: object, target_context: Any) -> object | None:
        """Return the code for arguments of some types, or None if it must be compiled.

        Then it is this process's turn; while it is another's, its code is waited for.
        """
        _make_ready(target_context)
        name = self._file_name(sig, target_context.codegen().magic_tuple())
        found = self._found(name, target_context)
        if found is None and name not in self._turns:
            files = [folder / f"{name}{_TURN}" for folder in self._folders]
            turn = wait_for_turn(files, lambda: self._is_kept(name))
            # Somebody else may have done it meanwhile.
            found = self._found(name, target_context)
            if turn is not None:
                self._turns[name] = turn
            if found is not None:
                self._end_turn(name)
        return found

    def _is_kept(self, name: str) -> bool:
        return any(_whole(folder / name) is not None for folder in self._folders)

    def _end_turn(self, name: str) -> None:
        turn = self._turns.pop(name, None)
        if turn is not None:
            turn.end()

    def _found(self, name: str, target_context: Any) -> object | None:
        for folder in self._folders:
            data = _whole(folder / name)
            if data is not None:
                return _rebuilt(target_context, *pickle.loads(data))  # noqa: S301 - our own files
        return None

    def save_overload(self, sig: object, data: Any) -> None:
        """Keep code where it can be kept; nowhere, and each process compiles it for itself."""
        name = self._file_name(sig, data.codegen.magic_tuple())
        try:
            self._keep(name, data)
        finally:
            self._end_turn(name)

    def _keep(self, name: str, data: Any) -> None:
        if data.lifted or data.library.has_dynamic_globals or not self._folders:
            return
        content = _dumped(data._reduce())
        whole = hashlib.sha256(content).digest() + content
        for folder in self._folders:
            try:
                self._write(folder, name, whole)
            except OSError:
                continue
            return

    def _write(self, folder: Path, name: str, whole: bytes) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        # Not a file that only its owner can read: an environment may be shared.
        part = folder / f"{name}.{uuid.uuid4().hex[:_NAME_DIGITS]}.part"
        try:
            part.write_bytes(whole)
            part.replace(folder / name)
        finally:
            part.unlink(missing_ok=True)
        for other in folder.glob(f"{self._stem}.*{SUFFIX}"):
            if not other.name.startswith(f"{self._stem}.{self._source}."):
                other.unlink(missing_ok=True)

    def _file_name(self, sig: object, processor: tuple[str, ...]) -> str:
        wanted = repr((str(sig), sorted(_named_tuples(sig)), processor))
        called = hashlib.sha256(wanted.encode()).hexdigest()
        return f"{self._stem}.{self._source}.{called[:_NAME_DIGITS]}{SUFFIX}"

    @cached_property
    def _stem(self) -> str:
        function = self._dispatcher.py_func
        name = f"{Path(inspect.getfile(function)).stem}.{function.__name__}"
        return f"{name}.{PYTHON}"

    @cached_property
    def _source(self) -> str:
        """A digest of what the function does; asked for when all that it calls exists."""
        digest = hashlib.sha256(f"{numba.__version__} {llvmlite.__version__}".encode())
        for part in _meaning(self._dispatcher, set()):
            digest.update(part.encode())
        return digest.hexdigest()[:_NAME_DIGITS]

    @cached_property
    def _folders(self) -> tuple[Path, ...]:
        function = self._dispatcher.py_func
        file = Path(inspect.getfile(function))
        # What a function closes over has no name by which it could be told.
        is_known = file.exists() and function.__closure__ is None
        return folders_of(file) if is_known else ()


def make_ready() -> None:
    """Have numba look up all that it knows, before the first loop is looked for."""
    with global_compiler_lock:
        _make_ready(cpu_target.target_context)


@cache
def _make_ready(target_context: Any) -> None:
    """Have numba look up all that it knows, once: 2 of the 7 ms that finding code takes."""
    target_context.refresh()


def _whole(file: Path) -> bytes | None:
    """Return what is kept in a file; None if there is none, or it is not what was written."""
    try:
        kept = file.read_bytes()
    except OSError:
        return None
    digest, data = kept[:_DIGEST_BYTES], kept[_DIGEST_BYTES:]
    return data if hashlib.sha256(data).digest() == digest else None


def _named_tuples(kind: Any) -> Iterator[str]:
    """Yield the definition of each named tuple among the types of arguments."""
    if isinstance(kind, types.NamedTuple | types.NamedUniTuple):
        made = kind.instance_class
        yield f"{made.__module__}.{made.__qualname__}{made._fields}"
    for part in kind if isinstance(kind, tuple) else getattr(kind, "types", ()):
        yield from _named_tuples(part)


def _meaning(dispatcher: Dispatcher, seen: set[Callable[..., object]]) -> Iterator[str]:
    """Yield all that the code of a function is made from, and of those that it calls.

    From what is in memory: files may have changed since they were imported.
    """
    function = dispatcher.py_func
    if function in seen:
        return
    seen.add(function)
    yield f"{function.__module__}.{function.__qualname__}{function.__defaults__}"
    yield from _written(function.__code__)
    for option, value in sorted(dispatcher.targetoptions.items()):
        yield f"{option}={sorted(value) if isinstance(value, set) else value}"
    for name in sorted(set(_names(function.__code__))):
        value = function.__globals__.get(name)
        kind = getattr(value, "_numba_type_", None)
        if isinstance(kind, types.Dispatcher):
            yield from _meaning(kind.dispatcher, seen)
        elif isinstance(value, type):
            yield f"{name}{getattr(value, '_fields', '')}"
        elif not isinstance(value, ModuleType) and not callable(value):
            # Constants of other modules become part of the code.
            yield f"{name}={pickle.dumps(value)!r}"


def _written(code: CodeType) -> Iterator[str]:
    """Yield what stands in a function: no names of files, no numbers of lines."""
    yield f"{code.co_code!r}{code.co_names}{code.co_varnames}{code.co_freevars}"
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _written(constant)
        else:
            yield repr(constant)


def _names(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)
