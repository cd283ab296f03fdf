"""The container file: linted, locked, and its steps run in an empty environment, no engine."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from alignsvc.engine.heap import HEAP_OF_A_WORKER
from alignsvc.engine.worker_environment import ONE_THREAD
from alignsvc.version import VERSION

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "deploy" / "container"
FILE = FOLDER / "Containerfile"
HADOLINT = Path(sys.executable).with_name("hadolint")


def steps() -> list[tuple[str, str]]:
    """Return verb and words of each line of the file."""
    text = re.sub(r"^#.*\n", "", FILE.read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    return [
        (verb, rest) for verb, _, rest in (one.partition(" ") for one in text.splitlines() if one)
    ]


def locked(file: Path) -> dict[str, frozenset[str]]:
    """Return the digests that a lock has of each version of a package.

    On which Pythons and systems it is wanted may differ: the tests want more than is installed.
    """
    blocks = re.split(r"\n(?=[a-zA-Z])", file.read_text().strip())
    digests = {}
    for block in blocks:
        pinned, *rest = block.splitlines()
        digests[re.split(r"[ ;\\]", pinned)[0]] = frozenset(line.strip(" \\") for line in rest)
    return digests


def lint(file: Path) -> str:
    found = subprocess.run(
        [HADOLINT, "--no-color", file], capture_output=True, text=True, check=False
    )
    return found.stdout


def test_the_linter_finds_nothing() -> None:
    assert lint(FILE) == ""


def test_the_linter_would_find_something(tmp_path: Path) -> None:
    (tmp_path / "broken").write_text("FROM python\nRUN pip install numpy\n")
    assert "DL3013" in lint(tmp_path / "broken")


@pytest.mark.parametrize("name", ["requirements.lock", "build.lock"])
def test_what_is_installed_is_what_was_tested(name: str) -> None:
    """`make lock` writes them together; a version that only one has would not be the same."""
    tested = locked(ROOT / "requirements.lock")
    assert locked(FOLDER / name).items() <= tested.items()


def test_nobody_is_root_in_it_and_nothing_is_left_of_the_build() -> None:
    last = [place for place, (verb, _) in enumerate(steps()) if verb == "FROM"][-1]
    final = steps()[last:]
    assert ("USER", "10001:10001") in final
    assert not any(verb == "RUN" for verb, _ in final)
    assert [rest for verb, rest in final if verb == "COPY"] == [
        "--from=build /opt/alignsvc /opt/alignsvc"
    ]


def test_processes_in_it_have_one_thread_and_the_heap_that_workers_want() -> None:
    variables = dict(
        word.split("=", 1) for verb, rest in steps() if verb == "ENV" for word in shlex.split(rest)
    )
    assert (ONE_THREAD | HEAP_OF_A_WORKER).items() <= variables.items()


def test_the_base_has_a_version() -> None:
    (base,) = (rest for verb, rest in steps() if verb == "ARG")
    assert re.fullmatch(r"BASE=python:3\.\d+\.\d+-slim-\w+", base)


def test_what_is_compiled_at_the_build_is_what_processes_look_for() -> None:
    """Code is found by the kind of processor: build and image name the same one."""
    stages = [rest for verb, rest in steps() if verb == "FROM"]
    assert stages[-2:] == ["for-${TARGETARCH} AS build", "for-${TARGETARCH}"]
    assert {one.split()[-1] for one in stages[:-2]} == {"for-amd64", "for-arm64"}
    named = [rest for verb, rest in steps() if verb == "ENV" and "NUMBA_CPU_NAME" in rest]
    assert len(named) == len(stages[:-2])
    assert all("NUMBA_CPU_FEATURES=" in one for one in named)  # else they are the host's
    assert any("alignsvc prepare" in rest for verb, rest in steps() if verb == "RUN")


@pytest.mark.slow
def test_its_steps_make_an_environment_that_runs(tmp_path: Path) -> None:
    """As an engine would: an empty directory, what is copied, one command after the other."""
    source, goal = tmp_path / "src", tmp_path / "opt"
    python = tmp_path / "base" / "bin" / "python"
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "base"], check=True)
    source.mkdir()
    # Where packages are is the machine's business, as it is an engine's.
    index = {name: value for name, value in os.environ.items() if name.startswith("PIP_")}
    for verb, rest in steps()[: [verb for verb, _ in steps()].index("USER")]:
        if verb == "COPY" and not rest.startswith("--from"):
            *names, _ = rest.split()
            for name in names:
                into = source / Path(name).name
                if (ROOT / name).is_dir():
                    shutil.copytree(ROOT / name, into)
                else:
                    shutil.copy(ROOT / name, into)
        elif verb == "RUN":
            command = rest.replace("/opt/", f"{goal}/").replace("/wheels", f"{tmp_path}/wheels")
            command = re.sub(r"(^|\s)python ", rf"\1{python} ", command)
            done = subprocess.run(
                command,
                shell=True,
                cwd=source,
                env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), **index},
                capture_output=True,
                text=True,
                check=False,
            )
            if "Could not find a version" in done.stderr or "ConnectionError" in done.stderr:
                pytest.skip(f"NOT TESTED: no package index is reached: {done.stderr[-200:]}")
            assert done.returncode == 0, f"{command}: {done.stderr[-2000:]}"
    assert VERSION in done.stdout
    tools = goal / "alignsvc" / "bin"
    assert (tools / "dask").exists()
    assert not (tools / "pip").exists()
    packages = subprocess.run(
        [tools / "python", "-c", "import alignsvc, kr8s, asyncssh; print(alignsvc.__file__)"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={},
        check=True,
    )
    assert packages.stdout.startswith(str(goal))
    kept = list((goal / "alignsvc").glob("lib/python*/site-packages/alignsvc/**/*.nbc"))
    assert len(kept) > 50
