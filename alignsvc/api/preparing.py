"""What an installation does once, before its first run."""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from alignsvc.config.schema import Config
from alignsvc.numerics.compiled import loops_used
from alignsvc.run.driving import service
from alignsvc.simulation.reading_settings import sky_settings
from alignsvc.simulation.simulate import simulate_to

#: As few exposures, and as small ones, as go through all that a run does.
_SKY = {
    "seed": 4,
    "layout": {"name": "stack", "count": 4, "ra": 150.1, "dec": 2.2, "jitter_arcsec": 3.0},
    "camera": {"shape": [384, 384], "scale_arcsec": 0.2},
    "header_errors": {"shift_px": [0.5, 2.0], "rotation_deg": 0.02},
}


@dataclass(frozen=True, slots=True)
class Preparation:
    """What was made ready.

    Parameters
    ----------
    n_compiled, n_found : int
        Loops that were compiled, and those that had been before.
    seconds : float
    """

    n_compiled: int
    n_found: int
    seconds: float


def prepare() -> Preparation:
    """Compile the loops over pixels and keep them; else the first run does so, as it comes to them.

    A small run of simulated exposures, in a temporary directory, calls them as any run does.
    """
    begin = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="alignsvc-prepare-") as name:
        folder = Path(name)
        simulate_to(folder / "sky", sky_settings(_SKY))
        run = {
            "run": {"directory": str(folder / "run")},
            "images": {"paths": [str(folder / "sky" / "*.fits")]},
            "cluster": {"backend": "serial"},
        }
        service.begin(Config.model_validate(run), service.RunOptions())
    used = loops_used()
    return Preparation(used.n_compiled, used.n_found, time.monotonic() - begin)
