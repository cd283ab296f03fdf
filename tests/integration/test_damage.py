"""A byte that changes on the disk costs some work, and no bit of the result."""

from __future__ import annotations

from pathlib import Path

import pytest
from durable_runs import content, make_sky, write_config

from alignsvc import api
from alignsvc.run import events


@pytest.fixture(scope="module")
def sky(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_sky(tmp_path_factory.mktemp("damage") / "sky")


@pytest.fixture(scope="module")
def wanted(sky: Path) -> dict[str, str]:
    """What an undisturbed run gives."""
    return content(api.align(write_config(sky.with_name("quiet.yaml"), sky)).directory)


class Stop(Exception):
    """The driver dies."""


def flip_a_byte(folder: Path) -> None:
    """Change one byte in the middle of the largest chunk below a folder."""
    chunks = [p for p in folder.rglob("*") if p.is_file() and p.name != "zarr.json"]
    chunk = max(chunks, key=lambda path: path.stat().st_size)
    raw = bytearray(chunk.read_bytes())
    raw[len(raw) // 2] ^= 0xFF
    chunk.unlink()  # tiles of two generations may be one file
    chunk.write_bytes(raw)


@pytest.mark.parametrize(
    ("what", "stage"),
    [
        ("contributions", "merge"),
        pytest.param("contributions", "measure", marks=pytest.mark.slow),
        pytest.param("mosaic.zarr", "detect", marks=pytest.mark.slow),
        ("mosaic.zarr", "measure"),
    ],
)
def test_a_damaged_chunk_is_made_again(
    sky: Path, wanted: dict[str, str], tmp_path: Path, what: str, stage: str
) -> None:
    def die_at(event: events.Event) -> None:
        if isinstance(event, events.StageStarted) and event.stage == stage:
            raise Stop

    config = write_config(tmp_path / "run.yaml", sky)
    with pytest.raises(Stop):
        api.align(config, api.RunOptions(listener=die_at))
    flip_a_byte(tmp_path / "run" / what)
    assert content(api.align(config).directory) == wanted
