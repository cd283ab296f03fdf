"""Files that appear whole, or not at all."""

import subprocess
import sys
from pathlib import Path

import pytest

from alignsvc.io.objects import PARTIAL
from alignsvc.io.whole_files import replaced

KILLED = """
import os, signal, sys
from pathlib import Path
from alignsvc.io.whole_files import replaced
with replaced(Path(sys.argv[1])) as out:
    out.write(b"half")
    out.flush()
    os.kill(os.getpid(), signal.SIGKILL)
"""


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_takes_the_place_of_another_with_its_permissions(tmp_path: Path) -> None:
    path = tmp_path / "new folder" / "a.fits"
    for content in (b"first", b"second"):
        with replaced(path, 0o640) as out:
            out.write(content)
    assert path.read_bytes() == b"second"
    assert path.stat().st_mode & 0o777 == 0o640
    assert names_in(path.parent) == ["a.fits"]


def test_what_fails_half_way_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "a.fits"
    path.write_bytes(b"old")
    with pytest.raises(ValueError, match="half way"), replaced(path) as out:
        out.write(b"new")
        raise ValueError("half way")
    assert path.read_bytes() == b"old"
    assert names_in(tmp_path) == ["a.fits"]


def test_what_a_killed_writer_left_goes_with_the_next_one_of_the_same_file(tmp_path: Path) -> None:
    path = tmp_path / "a.fits"
    path.write_bytes(b"old")
    another = tmp_path / f"{PARTIAL}of-another-file"
    another.touch()
    subprocess.run([sys.executable, "-c", KILLED, str(path)], check=False)
    assert path.read_bytes() == b"old"
    assert len(names_in(tmp_path)) == 3
    with replaced(path) as out:
        out.write(b"new")
    assert names_in(tmp_path) == [another.name, "a.fits"]
