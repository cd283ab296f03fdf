"""Ctrl-C in a terminal reaches the driver and its workers at once."""

import os
import signal
import subprocess
import sys
from pathlib import Path

HOLD = """
import os, signal, sys
from pathlib import Path
from alignsvc.engine.base import RunContext
from alignsvc.engine.clusters.local import LocalBackend
from alignsvc.io.objects import LocalObjects

if __name__ == "__main__":
    with LocalBackend(workers=1)(RunContext(LocalObjects(Path(sys.argv[1])))):
        print("up", flush=True)
        try:
            signal.pause()
        except KeyboardInterrupt:
            print("interrupted", flush=True)
"""


def test_workers_beside_their_driver_leave_the_interrupt_to_it(tmp_path: Path) -> None:
    script = tmp_path / "hold.py"
    script.write_text(HOLD)
    held = subprocess.Popen(
        [sys.executable, str(script), str(tmp_path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert held.stdout is not None
    assert held.stdout.readline() == "up\n"
    os.killpg(held.pid, signal.SIGINT)
    out, err = held.communicate(timeout=60)
    assert (out, err, held.returncode) == ("interrupted\n", "", 0)
