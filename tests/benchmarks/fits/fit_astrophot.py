"""AstroPhot's joint fits of the scenes named in a JSON on stdin, by its own interpreter.

As its tutorial "Aligning Images" does it: point models with a Moffat PSF for each image, places
shared, a flat sky; `crtan` of the last images free for a shift, and CD = CD0 R(phi) for a turn.
"""

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
    import astrophot

    astrophot.config.logger.setLevel("ERROR")
    found = [one for scene in json.load(sys.stdin) for one in fits(astrophot, scene)]
    # Of the whole process, so that what is no fit is start-up and reading.
    cpu = time.process_time()
    json.dump({"cpu_s": cpu, "peak_mb": peak_mb(), "fits": found}, sys.stdout)


def peak_mb() -> float:
    """The most memory that this process had; what it was forked from does not count."""
    status = Path("/proc/self/status").read_text()
    return float(status.partition("VmHWM:")[2].split()[0]) / 1024


def fits(ap, scene: dict) -> list[dict]:
    """Fit the same model with more and more free, each from where the last one ended."""
    data = np.load(scene["file"])
    images = targets(ap, data)
    model = joint_model(ap, images, data["stars"])
    model.initialize()
    found, maps = [], [Turned(ap, image) for image in images[1:]]
    for geometry in scene["geometries"]:
        for each in maps:
            each.free(geometry)
        begin = time.process_time()
        # Errors are one Jacobian more: not where an iteration is what is measured.
        fit = ap.fit.LM(model, verbose=0, max_iter=scene.get("most_iterations", 100))
        fit.fit(update_uncertainty="most_iterations" not in scene)
        took = time.process_time() - begin
        points = images[0].CD.npvalue @ (data["points"] - images[0].crpix).T
        found.append(
            {
                "geometry": geometry,
                "cpu_s": took,
                "iterations": len(fit.loss_history) - 1,
                "chi2_per_degree": float(fit.loss_history[-1]),
                "outcome": fit.message,
                "unknowns": len(fit.current_state),
                "pixels": maps[-1].pixels(points).tolist(),
            }
        )
    return found


def targets(ap, data) -> list:
    """The images, all with the header of the first."""
    from astropy.io import fits as files
    from astropy.wcs import WCS

    wcs = WCS(files.Header.fromstring(str(data["header"])))
    return [
        ap.TargetImage(data=pixels, variance=variance, wcs=wcs, name=f"image{e}")
        for e, (pixels, variance) in enumerate(zip(data["pixels"], data["variance"], strict=True))
    ]


def joint_model(ap, images: list, places: np.ndarray):
    """Stars at about these pixels of the first image in all of them."""
    groups, centres = [], None
    ny, nx = images[0].data.shape
    for e, image in enumerate(images):
        flat = image.psf_image(data=np.zeros((51, 51)))
        psf = ap.Model(name=f"psf{e}", model_type="moffat psf model", n=3.0, Rd=3.5, target=flat)
        models = []
        for k, (x, y) in enumerate(places):
            box = [max(x - 30, 0), min(x + 31, nx), max(y - 30, 0), min(y + 31, ny)]
            centre = image.CD.npvalue @ ([x, y] - np.array(image.crpix))
            models.append(
                ap.Model(
                    name=f"star{k}_{e}",
                    model_type="point model",
                    center=centre.tolist() if centres is None else centres[k],
                    window=[int(edge) for edge in box],
                    psf=psf,
                    target=image,
                )
            )
        if centres is None:
            centres = [model.center for model in models]
        sky = ap.Model(name=f"sky{e}", model_type="flat sky model", target=image)
        group = ap.Model(
            name=f"group{e}", model_type="group model", models=[*models, sky], target=image
        )
        groups.append(group)
    whole = ap.TargetImageList(images)
    return ap.Model(name="joint", model_type="group model", models=groups, target=whole)


class Turned:
    """What is free of an image's WCS."""

    def __init__(self, ap, image) -> None:
        self._ap, self._image = ap, image
        self._matrix, self._phi = image.CD.npvalue.copy(), None

    def free(self, geometry: str) -> None:
        """Let a shift be free, or a shift and a turn."""
        import torch

        if geometry != "none":
            self._image.crtan.to_dynamic()
        if geometry == "rshift" and self._phi is None:
            name = f"phi_{self._image.name}"
            self._phi = self._ap.Param(name, 0.0, dynamic=True, dtype=torch.float64)
            given = torch.as_tensor(self._matrix)

            def turned(p):
                phi = getattr(p, name).value
                cos, sin = torch.cos(phi), torch.sin(phi)
                return given @ torch.stack([torch.stack([cos, -sin]), torch.stack([sin, cos])])

            self._image.CD = turned
            self._image.CD.link(self._phi)

    def pixels(self, plane: np.ndarray) -> np.ndarray:
        """Where points of the plane, shape (2, n), lie in the image: (n, 2)."""
        matrix = self._matrix
        if self._phi is not None:
            phi = float(self._phi.npvalue)
            matrix = matrix @ [[np.cos(phi), -np.sin(phi)], [np.sin(phi), np.cos(phi)]]
        away = plane - self._image.crtan.npvalue[:, None]
        return np.linalg.solve(matrix, away).T + self._image.crpix


if __name__ == "__main__":
    main()
