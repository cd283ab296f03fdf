"""Which sky is aligned how, and what came of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from alignsvc import api

CONFIGS = Path(__file__).resolve().parents[2] / "configs" / "simulations"


@dataclass(frozen=True)
class Case:
    """A sky, and how it is aligned.

    Parameters
    ----------
    sky : str
        Name of a file in ``configs/simulations``, without its ending.
    geometry : str
        What is free: as much as the sky's header errors need, unless the test is about that.
    layout, camera : mapping
        Put over the sky's own, to make it smaller.
    changes : mapping
        The same for any other section of the sky.
    alignment, mosaic : mapping
        More keys of the configuration's sections.
    settings : mapping
        Other sections of it.
    seed : int or None
        Of the sky; None: its own.
    """

    sky: str
    geometry: str = "rshift"
    layout: Mapping[str, Any] = field(default_factory=dict)
    camera: Mapping[str, Any] = field(default_factory=dict)
    changes: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    alignment: Mapping[str, Any] = field(default_factory=dict)
    mosaic: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    seed: int | None = None

    def __str__(self) -> str:
        return f"{self.sky}-{self.geometry}"


@dataclass(frozen=True)
class Aligned:
    """How a run ended, how far it is from the truth, and where the sky was put."""

    result: api.RunResult
    judged: Mapping[str, Any]
    sky: Path

    @property
    def ratio(self) -> float:
        """The larger of the local and the affine rms, each over its own bound."""
        return float(max(self.judged["ratio_local"], self.judged["ratio_affine"]))


Align = Callable[[Case], Aligned]


def aligned_in(folder: Path, case: Case) -> Aligned:
    """Simulate, align and judge a case in a folder."""
    sky = yaml.safe_load((CONFIGS / f"{case.sky}.yaml").read_text(encoding="utf-8"))
    changes = {"layout": case.layout, "camera": case.camera, **case.changes}
    for section, own in changes.items():
        sky[section] = {**sky.get(section, {}), **own}
    if case.seed is not None:
        sky["seed"] = case.seed
    (folder / "sky.yaml").write_text(yaml.safe_dump(sky), encoding="utf-8")
    api.simulate(folder / "sky.yaml", folder / "sky")
    settings = {
        "run": {"directory": str(folder / "run"), "keep_mosaics": "none"},
        "images": {"paths": [str(folder / "sky" / "*.fits")]},
        "alignment": {"geometry": case.geometry, **case.alignment},
        "mosaic": dict(case.mosaic),
        "output": {"wcs": "none", "mosaic": "none", "report": "none"},
        "cluster": {"backend": "serial"},
        **case.settings,
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")
    result = api.align(folder / "config.yaml")
    return Aligned(result, api.evaluate(folder / "run", folder / "sky"), folder / "sky")
