"""One process compiles a function at a time, and none waits for one that is gone or stuck."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from alignsvc.numerics.compile_turns import Turn, wait_for_turn

HOLDER = """
import sys, time
from pathlib import Path
from alignsvc.numerics.compile_turns import wait_for_turn
assert wait_for_turn([Path(sys.argv[1])], lambda: False)
print("mine", flush=True)
time.sleep(600)
"""


@contextmanager
def held_by_another(file: Path) -> Iterator[subprocess.Popen[str]]:
    """Let another process have the turn."""
    command = [sys.executable, "-c", HOLDER, str(file)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "mine\n"
        yield other
        other.kill()


def never() -> bool:
    return False


def test_a_turn_that_is_over_leaves_nothing(tmp_path: Path) -> None:
    for _ in range(2):
        turn = wait_for_turn([tmp_path / "f.turn"], never)
        assert isinstance(turn, Turn)
        turn.end()
    assert not list(tmp_path.iterdir())


def test_who_waits_goes_on_when_the_code_is_there(tmp_path: Path) -> None:
    code = tmp_path / "f.nbc"

    def looked() -> bool:
        if code.exists():
            return True
        code.touch()  # the other one is done between two looks
        return False

    with held_by_another(tmp_path / "f.turn"):
        assert wait_for_turn([tmp_path / "f.turn"], looked) is None


def test_the_turn_of_a_process_that_was_killed_is_over(tmp_path: Path) -> None:
    with held_by_another(tmp_path / "f.turn") as other:
        other.kill()
        other.wait()
        turn = wait_for_turn([tmp_path / "f.turn"], never)
        assert turn is not None
        turn.end()


def test_who_is_stuck_is_not_waited_for_for_ever(tmp_path: Path) -> None:
    with held_by_another(tmp_path / "f.turn"):
        assert wait_for_turn([tmp_path / "f.turn"], never, most_s=0.1) is None


def test_the_second_place_serves_where_the_first_takes_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    turn = wait_for_turn([tmp_path / "file" / "f.turn", tmp_path / "f.turn"], never)
    assert turn is not None
    assert turn.file == tmp_path / "f.turn"
    turn.end()
    assert wait_for_turn([tmp_path / "file" / "f.turn"], never) is None
