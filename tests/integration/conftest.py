"""What integration tests share: a small sky, made once, and the command line in this process."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import yaml
from workplaces import SKY, Command, Ended, Workplace

from alignsvc.cli.main import exit_code


@pytest.fixture(scope="session")
def small_sky(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with exp000.fits, exp001.fits, exp002.fits and their truth."""
    folder = tmp_path_factory.mktemp("sky")
    settings = folder / "sky.yaml"
    settings.write_text(yaml.safe_dump(SKY))
    assert exit_code(["simulate", str(settings), str(folder / "sky")]) == 0
    return folder / "sky"


@pytest.fixture
def work(tmp_path: Path, small_sky: Path) -> Workplace:
    """A folder of its own with copies of the three exposures."""
    place = Workplace(tmp_path)
    place.inputs.mkdir()
    for file in sorted(small_sky.glob("*.fits")):
        shutil.copy(file, place.inputs)
    return place


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Command:
    """Run a command in this process, and return how it ended."""

    def run(*arguments: object) -> Ended:
        capsys.readouterr()
        code = exit_code([str(argument) for argument in arguments])
        said = capsys.readouterr()
        return Ended(int(code), said.out, said.err)

    return run
