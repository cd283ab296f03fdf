"""A driver that cancels a job of its own in the first pass, and is killed in the second.

As `alignsvc run CONFIG`, for the tests: `python doomed_driver.py CONFIG`. It ends as by
kill -9: nothing is closed, nothing is cancelled.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from alignsvc import api
from alignsvc.run.records import events


def main(config: str) -> None:
    logs = Path(config).with_suffix("") / "logs" / "jobs"
    cancelled: list[str] = []
    passes = [0]

    def listen(event: events.Event) -> None:
        if isinstance(event, events.PassSolved):
            passes[0] += 1
        if not isinstance(event, events.TaskEnded) or event.stage != "measure":
            return
        if not cancelled:
            # Slurm makes a file for what a job prints when it begins: NAME-NUMBER.err.
            cancelled.append(min(file.stem.rpartition("-")[2] for file in logs.glob("*.err")))
            subprocess.run(["scancel", cancelled[0]], check=True)
        if passes[0] == 1:
            os.kill(os.getpid(), signal.SIGKILL)

    api.align(config, api.RunOptions(listener=listen))


if __name__ == "__main__":
    main(sys.argv[1])
