"""Machine code on the disk: found when it is right, made anew when it is not, never in the way."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

CALLER = """
import sys

from alignsvc.numerics.compiled import compiled
from callee import FACTOR, added

@compiled
def twice(x):
    return FACTOR * added(x)

print(twice(20.0), sum(one.dispatcher.stats.cache_misses.total() for one in (twice, added)))
"""
CALLEE = """
from alignsvc.numerics.compiled import compiled

FACTOR = {factor}

@compiled
def added(x):
    return x + {more}
"""


class Program:
    """A loop that calls one of another module, and the folder where their code is kept."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.kept = folder / "kept"
        (folder / "caller.py").write_text(CALLER)
        self.write_callee()

    def write_callee(self, factor: float = 2.0, more: float = 1.0) -> None:
        (self.folder / "callee.py").write_text(CALLEE.format(factor=factor, more=more))

    def begin(self, **variables: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-B", self.folder / "caller.py"],
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"NUMBA_CACHE_DIR": str(self.kept)} | variables,
        )

    def __call__(self, **variables: str) -> tuple[float, int]:
        """Return the result, and how many functions were compiled for it."""
        output, _ = self.begin(**variables).communicate()
        value, n_compiled = output.split()
        return float(value), int(n_compiled)

    @property
    def files(self) -> list[Path]:
        return sorted(self.kept.glob("*/*"))


@pytest.fixture
def program(tmp_path: Path) -> Program:
    return Program(tmp_path)


def test_the_second_process_compiles_nothing_and_writes_nothing(program: Program) -> None:
    assert program() == (42.0, 2)
    (folder,) = program.kept.iterdir()
    written = folder.stat().st_mtime_ns
    assert program() == (42.0, 0)
    # Not even to see whether it could: the code of an image is in a folder that nobody may write.
    assert folder.stat().st_mtime_ns == written


@pytest.mark.parametrize("left", [0, 10, 40, 5000])
def test_a_file_cut_short_is_made_again(program: Program, left: int) -> None:
    program()
    whole = program.files
    for file in whole:
        os.truncate(file, left)
    assert program() == (42.0, 2)
    assert program.files == whole
    assert program() == (42.0, 0)


def test_a_file_with_a_wrong_byte_is_made_again(program: Program) -> None:
    program()
    for file in program.files:
        content = bytearray(file.read_bytes())
        content[len(content) // 2] ^= 255
        file.write_bytes(content)
    assert program() == (42.0, 2)


def test_a_place_that_takes_nothing_ends_nothing(program: Program) -> None:
    program.kept.write_text("not a folder")
    assert program() == (42.0, 2)


def test_a_caller_is_compiled_anew_when_what_it_calls_has_changed(program: Program) -> None:
    program()
    program.write_callee(more=2.0)
    assert program() == (44.0, 2)


def test_a_constant_of_another_module_is_part_of_the_code(program: Program) -> None:
    program()
    program.write_callee(factor=3.0)
    assert program()[0] == 63.0


def test_code_of_an_older_source_is_removed(program: Program) -> None:
    program()
    before = program.files
    program.write_callee(more=2.0)
    program()
    assert len(program.files) == len(before)


def test_each_kind_of_processor_has_its_own_code(program: Program) -> None:
    """Else one that knows less than another, in a home that both have, would stop at a command."""
    program()
    assert program(NUMBA_CPU_NAME="generic") == (42.0, 2)
    assert len(program.files) == 4
    assert program() == (42.0, 0)


def test_processes_that_compile_at_once_leave_one_whole_file_each(program: Program) -> None:
    processes = [program.begin() for _ in range(3)]
    told = [one.communicate()[0].split() for one in processes]
    assert [value for value, _ in told] == ["42.0"] * 3
    assert sum(int(n_compiled) for _, n_compiled in told) == 2  # by one of them; others waited
    assert [file.suffix for file in program.files] == [".nbc", ".nbc"]
    assert program() == (42.0, 0)
