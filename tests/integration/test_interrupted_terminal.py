"""Ctrl-C in a terminal reaches the driver and its workers at once."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

HOLD = """
import os, signal, sys
from pathlib import Path
from alignsvc.engine.base import RunContext
from alignsvc.engine.clusters.local import LocalBackend
from alignsvc.io.objects import LocalObjects

if __name__ == "__main__":
    with LocalBackend(workers=1)(RunContext(LocalObjects(Path(sys.argv[1])))):
        try:
            print("up", flush=True)
            signal.pause()
        except KeyboardInterrupt:
            print("interrupted", flush=True)
"""

BEGIN = """
import signal
from alignsvc.engine.worker_server import begin_server

assert begin_server()
try:
    print("up", flush=True)
    signal.pause()
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""

FINALIZER = """
import signal, sys, time
from alignsvc.cli import main

class Struck:
    def __del__(self):
        signal.raise_signal(getattr(signal, sys.argv[1]))

def command(*arguments, **settings):
    Struck()
    time.sleep(30.0)

main.app = command
main.main()
"""


def test_workers_beside_their_driver_leave_the_interrupt_to_it(tmp_path: Path) -> None:
    script = tmp_path / "hold.py"
    script.write_text(HOLD)
    assert interrupted(script, str(tmp_path)) == ("interrupted\n", "", 0)


@pytest.mark.skipif(sys.platform != "linux", reason="workers are copies on Linux")
def test_what_workers_are_copied_from_does_not_hear_it_while_it_imports(tmp_path: Path) -> None:
    """Nor does who waits for the driver's output wait until all is imported."""
    script = tmp_path / "begin.py"
    script.write_text(BEGIN)
    assert interrupted(script) == ("interrupted\n", "", 0)


@pytest.mark.parametrize("how", ["SIGINT", "SIGTERM"])
def test_an_interrupt_that_python_drops_in_a_finalizer_ends_the_command_all_the_same(
    tmp_path: Path, how: str
) -> None:
    script = tmp_path / "finalizer.py"
    script.write_text(FINALIZER)
    command = [sys.executable, str(script), how]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 130
    assert ended.stderr == "alignsvc: interrupted; the same command again goes on\n"


def interrupted(script: Path, *arguments: str) -> tuple[str, str, int]:
    """Press Ctrl-C when a program says that it is up; return what it printed, and its code."""
    program = subprocess.Popen(
        [sys.executable, str(script), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert program.stdout is not None
    assert program.stdout.readline() == "up\n"
    os.killpg(program.pid, signal.SIGINT)
    out, err = program.communicate(timeout=60)
    return out, err, program.returncode
