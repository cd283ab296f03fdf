"""Small simulated sets, runs of them, and what two runs must have in common bit for bit."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from alignsvc.domain.grid import TileId
from alignsvc.io.locations import MOSAIC_STORE, RunLocations
from alignsvc.io.mosaic_store import MosaicStore
from alignsvc.io.places import Place
from alignsvc.numerics.resampling.coadd import Contribution
from alignsvc.simulation.reading_settings import sky_settings
from alignsvc.simulation.simulate import simulate_to

#: All that a finished run leaves, by default.
LEFT = {
    *("config.yaml", "headers.jsonl", "journal", "lease", "receipts", "tables", "history", "logs"),
    *("mosaic.zarr", "mosaic.fits", "corrections.ecsv", "sources.ecsv", "wcs"),
    *("report.html", "report.json", "previews", "preview.png"),
}


def make_sky(
    folder: Path,
    count: int = 3,
    chips: tuple[int, int] = (1, 1),
    rays: float = 0.0,
    gross: Sequence[Mapping[str, Any]] = (),
    exposure_time: tuple[float, float] = (1.0, 1.0),
) -> Path:
    """Simulate a stack of overlapping exposures of 192 px a chip; return their folder.

    `rays` is the number of cosmic rays per megapixel, `gross` what headers have of large errors,
    `exposure_time` the range of what their exposure times are multiplied by.
    """
    settings: dict[str, Any] = {
        "seed": 4,
        "layout": {
            "name": "stack",
            "count": count,
            "ra": 150.1,
            "dec": 2.2,
            "jitter_arcsec": 6.0,
        },
        "camera": {"shape": [192, 192], "chips": list(chips), "scale_arcsec": 0.2},
        "stars": {"density": 60.0},
        "cosmic_rays": {"per_megapixel": rays},
        "header_errors": {
            "shift_px": [0.5, 2.0],
            "rotation_deg": 0.02,
            "gross": gross,
            "exposure_time": exposure_time,
        },
    }
    simulate_to(folder, sky_settings(settings))
    return folder


def write_config(path: Path, sky: Path, **sections: dict[str, Any]) -> Path:
    """Write the configuration of a run beside `path`: two passes, four tiles, in one process."""
    config: dict[str, dict[str, Any]] = {
        "images": {"paths": [f"{sky}/*.fits"]},
        "run": {"directory": str(path.with_suffix(""))},
        "mosaic": {"tile_shape": [160, 160]},
        "alignment": {"max_iterations": [2, 1]},
        "output": {"write_unconverged": True},
        "cluster": {"backend": "serial"},
    }
    for name, section in sections.items():
        config[name] = {**config.get(name, {}), **section}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(config))
    return path


def content(run: Place) -> dict[str, str]:
    """Return digests of everything that two runs of one identity must have in common."""
    objects = RunLocations(run).objects
    tables = (*objects.list("tables/solved/"), *objects.list("tables/mosaic/"))
    digests = {name: hashlib.sha256(objects.get(name)).hexdigest() for name in tables}
    return {**digests, **products(run)}


def products(run: Place) -> dict[str, str]:
    """Return digests of all that a run leaves for people: wherever its inputs were, the same."""
    objects = RunLocations(run).objects
    names = [*objects.list("wcs/"), *objects.list("history/"), *objects.list("mosaic.fits")]
    names += ["corrections.ecsv", "sources.ecsv"]
    digests = {name: hashlib.sha256(objects.get(name)).hexdigest() for name in names}
    return {**digests, **tiles(run)}


def names_left(run: Place) -> set[str]:
    """Return the names of all that a run has left, but for what tells of its drivers."""
    names = set(RunLocations(run).objects.list(""))
    if isinstance(run, Path):  # folders, and files that are no objects
        names |= {path.relative_to(run).as_posix() for path in run.rglob("*")}
    return {name for name in names if not name.startswith(("journal/", "lease/", "logs/"))}


def tiles(run: Place) -> dict[str, str]:
    """Return a digest of each tile of the published mosaic."""
    store = MosaicStore(RunLocations(run).path(MOSAIC_STORE))
    generation = store.current()
    if generation is None:
        return {}
    every: list[TileId] = [tile for grid in store.grids(generation) for tile in grid.tiles()]
    return {f"{generation}/{tile}": digest(store.read_tile(generation, tile)) for tile in every}


def stored_checksum(run: Place, tile: TileId) -> str:
    """Return the checksum of a tile of the published mosaic, as the store has it."""
    store = MosaicStore(RunLocations(run).path(MOSAIC_STORE))
    generation = store.current()
    assert generation is not None
    return store.checksum(generation, tile)


def digest(sums: Contribution) -> str:
    """Return a digest of the pixels of a tile."""
    return hashlib.sha256(sums.numerator.tobytes() + sums.weight.tobytes()).hexdigest()


def tell(stories: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Run stories of runs that are killed (see `lives.py`)."""
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("lives.py"))],
        input=json.dumps(stories),
        capture_output=True,
        text=True,
        # Against a life that hangs: a busy machine decides nothing.
        timeout=sum(300 * (len(story["kills"]) + 1) for story in stories),
    )
    assert done.returncode == 0, done.stderr
    told: list[dict[str, Any]] = json.loads(done.stdout)
    return told
