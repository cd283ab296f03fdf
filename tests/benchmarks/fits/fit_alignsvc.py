"""Our joint fits of the scenes named in a JSON on stdin; the counterpart of `fit_astrophot.py`."""

from __future__ import annotations

import json
import sys
import time
import warnings
from pathlib import Path

import numpy as np


def main() -> None:
    """Read what to do, write what came of it."""
    warnings.simplefilter("ignore")
    import alignsvc

    found = [one for scene in json.load(sys.stdin) for one in fits(alignsvc, scene)]
    # Of the whole process, so that what is no fit is start-up and reading.
    cpu = time.process_time()
    json.dump({"cpu_s": cpu, "peak_mb": peak_mb(), "fits": found}, sys.stdout)


def peak_mb() -> float:
    """The most memory that this process had; what it was forked from does not count."""
    status = Path("/proc/self/status").read_text()
    return float(status.partition("VmHWM:")[2].split()[0]) / 1024


def fits(alignsvc, scene: dict) -> list[dict]:
    """Fit with more and more free, each from the pixels: sources and start are sought too."""
    from astropy.io import fits as files
    from astropy.wcs import WCS

    from alignsvc.domain.geometry import Points

    data = np.load(scene["file"])
    wcs = WCS(files.Header.fromstring(str(data["header"])))
    exposures = [
        alignsvc.SceneExposure(pixels, wcs, variance, band=f"b{e}", name=f"e{e}")
        for e, (pixels, variance) in enumerate(zip(data["pixels"], data["variance"], strict=True))
    ]
    found = []
    for geometry in scene["geometries"]:
        free = ("none", *(geometry,) * (len(exposures) - 1))
        begin = time.process_time()
        fit = alignsvc.fit_scene(exposures, settings=alignsvc.SceneSettings(geometry=free))
        took = time.process_time() - begin
        first, last = fit.exposures[0], fit.exposures[-1]
        seen = last.wcs.pixel_from_sky(first.header.sky_from_pixel(Points(*data["points"].T)))
        found.append(
            {
                "geometry": geometry,
                "cpu_s": took,
                "iterations": fit.history[-1].passes,
                "chi2_per_degree": fit.chi2_per_degree,
                "outcome": fit.outcome.value,
                "unknowns": len(fit.fit.value)
                + fit.scene.sources.place.x.size * 2
                + sum(views.source.size for views in fit.scene.views),
                "pixels": np.stack([seen.x, seen.y], axis=1).tolist(),
            }
        )
    return found


if __name__ == "__main__":
    main()
