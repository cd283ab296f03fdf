"""What other programs make of the same files: residual against the truth, and CPU time.

``python tests/benchmarks/bench_peers.py [SKY ...]`` prints a table; skies are names of files in
``configs/simulations``. Where source-extractor and SCAMP are not installed the table says so.
"""

from __future__ import annotations

import resource
import shutil
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import sep
import yaml
from astropy.io import fits
from astropy.table import Table
from astropy.wcs import WCS
from scipy.spatial import cKDTree
from tweakwcs import FITSWCSCorrector, align_wcs
from tweakwcs.matchutils import MatchCatalogs

from alignsvc import api
from alignsvc.domain.celestial import CelestialWcs
from alignsvc.domain.correction import Geometry
from alignsvc.domain.geometry import Points
from alignsvc.io.simulated_files import read_truth
from alignsvc.io.wcs_headers import celestial_from_file
from alignsvc.simulation.evaluate import evaluate
from alignsvc.simulation.truth import Truth, from_json

CONFIGS = Path(__file__).resolve().parents[2] / "configs" / "simulations"
SKIES = ("stack8", "dither20")
#: Two header errors of 2 px, and a rotation of 0.02 degrees.
MATCH_PX = 5.0
EXTRACTOR_COLUMNS = (
    *("XWIN_IMAGE", "YWIN_IMAGE", "ERRAWIN_IMAGE", "ERRBWIN_IMAGE", "ERRTHETAWIN_IMAGE"),
    *("FLUX_AUTO", "FLUXERR_AUTO", "FLAGS", "FLUX_RADIUS", "SNR_WIN"),
)

Aligned = Mapping[str, tuple[CelestialWcs, ...]]


@dataclass(frozen=True)
class Scene:
    """Simulated files with their truth, and a folder to work in."""

    folder: Path
    truth: Truth

    @property
    def files(self) -> list[Path]:
        return sorted((self.folder / "sky").glob("*.fits"))

    @property
    def scale_arcsec(self) -> float:
        return self.truth.exposures[0].chips[0].given_wcs.pixel_scale_arcsec

    @property
    def shapes(self) -> dict[str, tuple[int, int]]:
        return {one.id: one.chips[0].given_wcs.shape for one in self.truth.exposures}


@dataclass(frozen=True)
class Centroids:
    """Windowed centroids of one exposure, 0-based, with the variance of each axis."""

    place: Points
    variance_px2: np.ndarray


def ours(geometry: str, **alignment: object) -> Callable[[Scene], Aligned]:
    def align(scene: Scene) -> Aligned:
        run = scene.folder / f"run-{geometry}"
        shutil.rmtree(run, ignore_errors=True)
        settings = {
            "run": {"directory": str(run), "keep_mosaics": "none"},
            "images": {"paths": [str(scene.folder / "sky" / "*.fits")]},
            "alignment": {"geometry": geometry, **alignment},
            "output": {"wcs": "copy", "mosaic": "none", "report": "none", "history": "none"},
            "cluster": {"backend": "serial"},
        }
        (scene.folder / "run.yaml").write_text(yaml.safe_dump(settings))
        api.align(scene.folder / "run.yaml")
        return {f.stem: (celestial_from_file(str(f)),) for f in sorted((run / "wcs").glob("*"))}

    return align


def centroids(file: Path) -> Centroids:
    with fits.open(file) as hdus:
        image = next(hdu for hdu in hdus if hdu.header.get("CTYPE1"))
        pixels = image.data.astype(np.float32)
    background = sep.Background(pixels)
    pixels -= background.back()
    found = sep.extract(pixels, 5.0, err=background.globalrms, minarea=5)
    found = found[(found["flag"] & sep.OBJ_TRUNC) == 0]
    radius, _ = sep.flux_radius(
        pixels, found["x"], found["y"], 6.0 * found["a"], 0.5, normflux=found["flux"], subpix=5
    )
    x, y, flag = sep.winpos(pixels, found["x"], found["y"], 2.0 / 2.35 * radius)
    sigma, noise = radius / 1.18, background.globalrms
    variance = (sigma * noise * np.sqrt(4 * np.pi) * sigma / found["flux"]) ** 2 + 1e-3**2
    sound = (flag == 0) & np.isfinite(x + y + variance)
    return Centroids(Points(x[sound], y[sound]), variance[sound])


class NearestMatch(MatchCatalogs):
    """Mutual nearest neighbours: with errors this small its own matcher finds too few, or fails."""

    def __init__(self, reach_px: float) -> None:
        self.reach_px = reach_px

    def __call__(self, refcat, imcat, tp_pscale=1.0, tp_units=None, **kwargs):
        reference, image = (np.stack([one["TPx"], one["TPy"]], 1) for one in (refcat, imcat))
        distance, nearest = cKDTree(reference).query(image)
        _, back = cKDTree(image).query(reference)
        mutual = (back[nearest] == np.arange(len(image))) & (distance < self.reach_px * tp_pscale)
        return nearest[mutual], np.flatnonzero(mutual)


def tweaked(geometry: str) -> Callable[[Scene], Aligned]:
    """sep's windowed centroids, weighted, aligned by tweakwcs with a reference that grows."""

    def align(scene: Scene) -> Aligned:
        correctors = []
        for file in scene.files:
            found = centroids(file)
            table = Table({"x": found.place.x, "y": found.place.y})
            table["weight"] = 1.0 / found.variance_px2
            with fits.open(file) as hdus:
                image = next(hdu for hdu in hdus if hdu.header.get("CTYPE1"))
                wcs = WCS(image.header)
            wcs.pixel_shape = image.shape[::-1]
            correctors.append(FITSWCSCorrector(wcs, {"catalog": table, "name": file.stem}))
        match = NearestMatch(MATCH_PX)
        align_wcs(correctors, match=match, fitgeom=geometry, expand_refcat=True, nclip=3)
        return {
            name: (CelestialWcs(one.wcs, scene.shapes[name]),)
            for one in correctors
            for name in (one.meta["name"],)
        }

    return align


def scamped(degree: int) -> Callable[[Scene], Aligned]:
    """source-extractor's catalogues and SCAMP, its reference the first exposure's own sources."""

    def align(scene: Scene) -> Aligned:
        folder = scene.folder / "scamp"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        (folder / "columns").write_text("\n".join(EXTRACTOR_COLUMNS) + "\n")
        (folder / "filter").write_text("CONV NORM\n1 2 1\n2 4 2\n1 2 1\n")
        for file in scene.files:
            run(
                folder,
                *("source-extractor", str(file), "-CATALOG_TYPE", "FITS_LDAC"),
                *("-CATALOG_NAME", f"{file.stem}.cat", "-PARAMETERS_NAME", "columns"),
                *("-FILTER_NAME", "filter", "-DETECT_THRESH", "5", "-WEIGHT_TYPE", "NONE"),
            )
        made_reference(scene, folder / "reference.cat")
        run(
            folder,
            *("scamp", *(f"{file.stem}.cat" for file in scene.files)),
            *("-ASTREF_CATALOG", "FILE", "-ASTREFCAT_NAME", "reference.cat"),
            *("-ASTREFCENT_KEYS", "RA,DEC", "-ASTREFERR_KEYS", "ERRA,ERRB"),
            *("-ASTREFMAG_KEY", "MAG", "-ASTREF_WEIGHT", "0.01", "-MATCH", "N"),
            *("-CROSSID_RADIUS", f"{MATCH_PX * scene.scale_arcsec:.2f}"),
            *("-CENTROID_KEYS", "XWIN_IMAGE,YWIN_IMAGE", "-SOLVE_PHOTOM", "N"),
            *("-CENTROIDERR_KEYS", "ERRAWIN_IMAGE,ERRBWIN_IMAGE,ERRTHETAWIN_IMAGE"),
            *("-DISTORT_DEGREES", str(degree), "-STABILITY_TYPE", "EXPOSURE"),
            *("-CHECKPLOT_TYPE", "NONE", "-WRITE_XML", "N", "-SN_THRESHOLDS", "10,100"),
        )
        return {
            file.stem: (sized(folder / f"{file.stem}.head", scene.shapes[file.stem]),)
            for file in scene.files
        }

    return align


def sized(head: Path, shape: tuple[int, int]) -> CelestialWcs:
    text = head.read_text(encoding="latin-1")
    size = "".join(f"{f'NAXIS{i}':<8}= {n:>20}\n" for i, n in ((1, shape[1]), (2, shape[0])))
    plain = head.with_suffix(".ascii")
    plain.write_text(size + text.encode("ascii", "replace").decode())
    return celestial_from_file(str(plain))


def made_reference(scene: Scene, path: Path) -> None:
    """Write the first exposure's sources, where its header puts them, as SCAMP reads a table."""
    sky = (
        scene.truth.exposures[0].chips[0].given_wcs.sky_from_pixel(centroids(scene.files[0]).place)
    )
    n = len(sky.ra)
    tiny = np.full(n, 1e-6)
    columns = [
        fits.Column("RA", "1D", array=sky.ra, unit="deg"),
        fits.Column("DEC", "1D", array=sky.dec, unit="deg"),
        fits.Column("ERRA", "1E", array=tiny, unit="deg"),
        fits.Column("ERRB", "1E", array=tiny, unit="deg"),
        fits.Column("MAG", "1E", array=np.full(n, 15.0), unit="mag"),
    ]
    cards = np.array([fits.Header([("SIMPLE", True)]).tostring(padding=False).encode()])
    head = fits.BinTableHDU.from_columns(
        [fits.Column("Field Header Card", f"{len(cards[0])}A", array=cards)], name="LDAC_IMHEAD"
    )
    table = fits.BinTableHDU.from_columns(columns, name="LDAC_OBJECTS")
    fits.HDUList([fits.PrimaryHDU(), head, table]).writeto(path)


def run(folder: Path, *command: str) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{command[0]} ended with {done.returncode}: {done.stderr[-600:]}")


def cpu_seconds() -> float:
    usages = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def methods() -> dict[str, tuple[Geometry, Callable[[Scene], Aligned]]]:
    """Return what can be compared here, with the geometry that its bound is that of."""
    found = {
        "alignsvc, rscale": (Geometry.RSCALE, ours("rscale")),
        "alignsvc, general": (Geometry.GENERAL, ours("general")),
        "sep + tweakwcs, rscale": (Geometry.RSCALE, tweaked("rscale")),
        "sep + tweakwcs, general": (Geometry.GENERAL, tweaked("general")),
    }
    if not missing():
        found["source-extractor + SCAMP, degree 3"] = (Geometry.GENERAL, scamped(3))
    return found


def missing() -> list[str]:
    """Return the programs that are not here; each is a Debian package of its name."""
    return [name for name in ("source-extractor", "scamp") if shutil.which(name) is None]


def main(skies: tuple[str, ...]) -> str:
    lines = [
        "| sky | method | local rms, mpx | x bound | after an affine map | CPU s |",
        "|---|---|---|---|---|---|",
    ]
    for sky in skies:
        with tempfile.TemporaryDirectory() as folder:
            api.simulate(CONFIGS / f"{sky}.yaml", Path(folder) / "sky")
            truth = from_json(read_truth(Path(folder) / "sky"))
            scene = Scene(Path(folder), truth)
            for name, (geometry, align) in methods().items():
                start = cpu_seconds()
                found = evaluate(truth, align(scene), geometry=geometry)
                lines.append(
                    f"| {sky} | {name} | {1e3 * found.after.local_rms_px:.2f} | "
                    f"{found.ratio_local:.2f} | {found.ratio_affine:.2f} | "
                    f"{cpu_seconds() - start:.1f} |"
                )
                print(lines[-1], flush=True)
    if missing():
        absent = " and ".join(missing())
        lines += ["", f"**Missing from this table: {absent}; install the packages of that name.**"]
        print(lines[-1], file=sys.stderr, flush=True)
    return "\n".join(lines)


if __name__ == "__main__":
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        print(main(tuple(sys.argv[1:]) or SKIES))
