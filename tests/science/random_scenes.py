"""Skies drawn at random, among them what goes wrong at telescopes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

#: Small chips: a thousand scenes take an hour.
SIDE_PX = 224


def random_scene(seed: int) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """Return the settings of a sky, and of its alignment, that a seed stands for.

    The geometry is never stiffer than the header errors need: that a shift cannot undo a
    rotation is told by other tests.
    """
    draw = np.random.default_rng([20261122, seed])
    rotation, scale = _pick(draw, [(0.0, 0.0), (0.02, 0.0), (0.02, 2e-5), (0.2, 1e-4)])
    stiffest = 0 if rotation == 0.0 else 1 if scale == 0.0 else 2
    geometries = ["shift", "rshift", "rscale", "general"][stiffest:]
    fwhm = draw.uniform(0.4, 1.4)
    sky: dict[str, Any] = {
        "seed": seed,
        "layout": _layout(draw),
        "camera": {"shape": [SIDE_PX, SIDE_PX], "scale_arcsec": 0.2, **_distortion(draw)},
        "conditions": {
            "fwhm_arcsec": [fwhm, fwhm * draw.uniform(1.0, 1.5)],
            "transparency": _pick(draw, [[1.0, 1.0], [0.3, 1.0]]),
            "exposure_time_s": _pick(draw, [[100.0, 100.0], [30.0, 300.0]]),
        },
        "stars": {"density": float(10 ** draw.uniform(0.5, 2.5)), "flux": [10.0, 1e5]},
        "header_errors": {
            "shift_px": [0.0, float(draw.uniform(0.1, 6.0))],
            "rotation_deg": rotation,
            "scale": scale,
        },
        "planes": _pick(draw, [[], ["err", "dq"]]),
    }
    if draw.random() < 0.3:
        sky["galaxies"] = {"density": 60.0, "flux": [30, 1e4], "sersic": [1.0, 4.0]}
    if draw.random() < 0.3:
        sky["detector"] = {"bad_pixels": 0.003, "bleed": True}
    if draw.random() < 0.25:
        sky["cosmic_rays"] = {"per_megapixel": float(10 ** draw.uniform(1.5, 3.0))}
    return sky, {"geometry": _pick(draw, geometries)}


def _pick(draw: np.random.Generator, choices: list[Any]) -> Any:
    return choices[int(draw.integers(len(choices)))]


def _layout(draw: np.random.Generator) -> dict[str, Any]:
    where = _pick(draw, [(150.1, 2.2), (0.0, -33.0), (210.0, 60.0)])
    sky = {"ra": where[0], "dec": where[1]}
    count = int(draw.integers(2, 6))
    turned = {"position_angle_scatter_deg": float(_pick(draw, [0.0, 5.0, 90.0]))}
    return _pick(
        draw,
        [
            {"name": "stack", "count": count, "jitter_arcsec": 4.0, **sky, **turned},
            {"name": "dither", "count": count, "reach": 0.2, **sky, **turned},
            {"name": "strip", "count": count, "overlap": float(draw.uniform(0.1, 0.5)), **sky},
            {"name": "ring", "count": count},
            {"name": "grid", "rows": 2, "columns": 2, **sky},
        ],
    )


def _distortion(draw: np.random.Generator) -> dict[str, Any]:
    name = _pick(draw, [None, "sip", "tpv"])
    return {} if name is None else {"distortion": {"name": name, "amplitude_px": 2.0}}
