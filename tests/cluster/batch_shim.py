#!/usr/bin/env python3
"""A batch system of three commands that runs jobs as processes, at once: for the tests.

It answers to the names of PBS and Grid Engine (``qsub``, ``qstat``, ``qdel``; which of them says
``BATCH_SHIM_DIALECT``) and of LSF (``bsub``, ``bjobs``, ``bkill``). A job is a file in
``BATCH_SHIM_FOLDER`` that holds the number of its process. As on a cluster, jobs have none of the
submitter's environment but what the directives name; LSF passes on all.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

FOLDER = Path(os.environ["BATCH_SHIM_FOLDER"])
#: What of the environment every login shell would set.
LOGIN = ("PATH", "HOME", "USER", "LANG", "BATCH_SHIM_FOLDER", "BATCH_SHIM_DIALECT")
MARKS = {"pbs": "#PBS", "sge": "#$", "lsf": "#BSUB"}
ANSWERS = {
    "pbs": "{number}.shim",
    "sge": 'Your job {number} ("{name}") has been submitted',
    "lsf": "Job <{number}> is submitted to default queue <normal>.",
}


def directives(script: str, dialect: str) -> dict[str, list[str]]:
    """Return what a script asks for: values by option."""
    mark = MARKS[dialect] + " "
    asked: dict[str, list[str]] = {}
    for line in script.splitlines():
        if line.startswith(mark):
            option, _, value = line.removeprefix(mark).partition(" ")
            asked.setdefault(option, []).append(value)
    return asked


def submit(arguments: list[str], dialect: str) -> None:
    script = Path(arguments[0]).read_text() if arguments else sys.stdin.read()
    asked = directives(script, dialect)
    number = next_number()
    names = [name for given in asked.get("-v", []) for name in given.split(",")]
    passed_on = os.environ if dialect == "lsf" else (*LOGIN, *names)
    environment = {name: os.environ[name] for name in passed_on if name in os.environ}
    where = asked.get("-o", ["."])[0].replace("%J", str(number))
    log = Path(where) / f"{number}.out" if Path(where).is_dir() else Path(where)
    with log.open("ab") as output:
        process = subprocess.Popen(
            ["bash", "-s"],
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=output,
            env=environment,
            start_new_session=True,
        )
    assert process.stdin is not None
    process.stdin.write(script.encode())
    process.stdin.close()
    (FOLDER / str(number)).write_text(str(process.pid))
    name = asked.get("-N", asked.get("-J", ["job"]))[0]
    print(ANSWERS[dialect].format(number=number, name=name))


def next_number() -> int:
    """Return a number that no job has; two that ask at once get two."""
    number = 101
    while True:
        try:
            (FOLDER / str(number)).touch(exist_ok=False)
            return number
        except FileExistsError:
            number += 1


def is_running(pid: str) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in ("Z", "X")


def running() -> list[str]:
    jobs = sorted(FOLDER.iterdir(), key=lambda job: int(job.name))
    return [job.name for job in jobs if is_running(job.read_text() or "1")]


def show(dialect: str) -> None:
    user = os.environ.get("USER", "root")
    for number in running():
        if dialect == "pbs":
            print(f"{number}.shim {user} batch alignsvc 1 1 1 1gb 01:00 R 00:01")
        elif dialect == "sge":
            print(f"    {number} 0.5 alignsvc {user} r 01/01/2026 00:00:00 all.q 1")
        else:
            print(number, "RUN" if "-o" in sys.argv else "")
    if dialect == "lsf" and not running():
        print("No unfinished job found", file=sys.stderr)
        raise SystemExit(255)


def end(numbers: list[str]) -> None:
    for number in numbers:
        pid = int((FOLDER / number).read_text())
        for how in (signal.SIGTERM, signal.SIGKILL):
            deadline = time.monotonic() + 5
            while is_running(str(pid)) and time.monotonic() < deadline:
                try:
                    os.killpg(pid, how)
                except ProcessLookupError:
                    break
                time.sleep(0.2)


if __name__ == "__main__":
    role = Path(sys.argv[0]).name
    spoken = "lsf" if role.startswith("b") else os.environ.get("BATCH_SHIM_DIALECT", "pbs")
    if role.endswith("sub"):
        submit(sys.argv[1:], spoken)
    elif role in ("qstat", "bjobs"):
        show(spoken)
    else:
        end(sys.argv[1:])
