"""Three small exposures in a folder of one's own, and the command line as a user types it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

SKY = {
    "seed": 4,
    "layout": {"name": "stack", "count": 3, "ra": 150.1, "dec": 2.2, "jitter_arcsec": 3.0},
    "camera": {"shape": [256, 256], "scale_arcsec": 0.2},
    "header_errors": {"shift_px": [0.5, 1.5], "rotation_deg": 0.02},
}


@dataclass(frozen=True)
class Ended:
    """What a command left: its exit code and what it said."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Its output, which must be JSON and nothing else."""
        return json.loads(self.out)

    @property
    def sentence(self) -> str:
        """The one sentence with which a command that went wrong ended."""
        said = self.err.strip().splitlines()
        assert said, f"exit {self.code} without a word"
        assert said[-1].startswith("alignsvc: "), said[-1]
        assert not any(line.startswith("alignsvc: ") for line in said[:-1])
        assert "Traceback" not in self.err
        return said[-1].removeprefix("alignsvc: ")


#: Runs a command in this process: command("run", path) -> Ended.
Command = Callable[..., Ended]


@dataclass(frozen=True)
class Workplace:
    """A folder with exposures in ``in/`` and a configuration that names them."""

    root: Path

    @property
    def inputs(self) -> Path:
        """The folder of the exposures."""
        return self.root / "in"

    @property
    def run(self) -> Path:
        """The run directory."""
        return self.root / "run"

    def config(self, settings: Mapping[str, object] | None = None) -> str:
        """Write a configuration with quick settings and others; return its path."""
        sections: dict[str, dict[str, object]] = {
            "images": {"paths": [f"{self.inputs}/*"]},
            "run": {"directory": str(self.run)},
            "cluster": {"backend": "serial"},
            "mosaic": {"reject_cosmic_rays": False},
            "alignment": {"eps_shift": 0.05},
            "output": {"mosaic": "none"},
        }
        for key, value in (settings or {}).items():
            section, _, name = key.partition(".")
            sections.setdefault(section, {})[name] = value
        path = self.root / "config.yaml"
        path.write_text(yaml.safe_dump(sections))
        return str(path)

    def digests(self) -> dict[str, str]:
        """Return a digest of each input file."""
        return digests(self.inputs)


def digests(folder: Path) -> dict[str, str]:
    """Return a digest of each file below a folder."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
    }
