"""A strip of small exposures, seen night after night, and what its runs did."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from alignsvc.io.journal import StageFinished
from alignsvc.io.journal_store import Journal
from alignsvc.io.locations import RunLocations
from alignsvc.simulation.reading_settings import sky_settings
from alignsvc.simulation.simulate import simulate_to

#: Each exposure shares half of its area with the next: the first ones are far from the last.
STRIP: dict[str, Any] = {
    "seed": 5,
    "layout": {"name": "strip", "count": 6, "ra": 150.1, "dec": 2.2, "overlap": 0.5},
    "camera": {"shape": [128, 128], "scale_arcsec": 0.2},
    "stars": {"density": 250.0},
    "header_errors": {"shift_px": [0.3, 1.0], "rotation_deg": 0.0},
}


def make_strip(folder: Path, side_px: int = 128, **layout: object) -> list[Path]:
    """Simulate the strip; return its files."""
    camera = {**STRIP["camera"], "shape": [side_px, side_px]}
    settings = {**STRIP, "layout": {**STRIP["layout"], **layout}, "camera": camera}
    simulate_to(folder, sky_settings(settings))
    return sorted(folder.glob("*.fits"))


def write_config(path: Path, files: Sequence[Path | str], **sections: dict[str, Any]) -> Path:
    """Write the configuration of a quick run beside `path`, one column of tiles after the other."""
    config: dict[str, dict[str, Any]] = {
        "images": {"paths": [str(file) for file in files]},
        "run": {"directory": str(path.with_suffix(""))},
        "mosaic": {"tile_shape": [192, 64], "reject_cosmic_rays": False},
        "alignment": {"geometry": "shift", "eps_shift": 0.03, "bootstrap": False},
        "output": {"mosaic": "none", "wcs": "none", "report": "none", "history": "none"},
        "cluster": {"backend": "serial"},
    }
    for name, section in sections.items():
        config[name] = {**config.get(name, {}), **section}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(config))
    return path


def tasks_done(run: Path) -> Counter[str]:
    """Return how many tasks of each stage were really worked on."""
    done = Counter[str]()
    for event in Journal(RunLocations(run).objects, time.time).events():
        if isinstance(event, StageFinished):
            done[event.stage] += event.n_ok + event.n_skipped + event.n_failed - event.n_reused
    return done
