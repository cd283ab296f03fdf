"""Whole alignments: CPU by stage, next to floors and to other programs on the same files.

``python tests/benchmarks/bench_whole.py [SET ...]``; sets are simulations of
``configs/simulations``, and the real ones of `REAL` where their folder is. Programs that are not
installed are named.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import scipy.fft
import yaml
from astropy.io import fits
from astropy.wcs import WCS
from bench_peers import Scene, cpu_seconds, missing, run, scamped, tweaked
from drizzle.resample import Drizzle
from peer_environment import MissingPeerError, interpreter
from reproject import reproject_interp
from reproject.mosaicking import find_optimal_celestial_wcs, reproject_and_coadd
from stage_clock import StageClock

from alignsvc import api
from alignsvc.domain.correction import Geometry
from alignsvc.io.simulated_files import read_truth
from alignsvc.io.wcs_headers import celestial_from_file
from alignsvc.simulation.evaluate import evaluate
from alignsvc.simulation.truth import from_json

PROJECT = Path(__file__).resolve().parents[2]
CONFIGS = PROJECT / "configs"
DATA = PROJECT / "../shared/data"
SIMULATED = ("stack8", "dither20_full")
#: Real exposures: their folder, which files, the configuration for them, and what it has to leave.
REAL = {
    "vircam_h": ("single_chip_zpn.yaml", "*.fits", ()),
    "nircam_f200w": ("stamps_with_noise.yaml", "*_stamp.fits", ()),
    "decam_offset": ("decam_sidecars.yaml", "*.fits", ("images.weight=null", "images.mask=null")),
    "tn_rvi": ("amateur_bands.yaml", "*.fits", ()),
}
EPS_SHIFT_PX = 0.003
#: Passes at the most, and those of them that look for cosmic rays and sources: as by default, and
#: once, so that a later pass is one that only measures.
ITERATIONS = {"": 10, ", rays and sources sought once": (10, 1)}
#: Exposures that the slow ones are given: their cost is that of a Mpix.
FEW = 4
#: Cutouts of the transforms, and their side.
N_CUTOUTS, SIDE = 2000, 64


@dataclass(frozen=True)
class Whole:
    """A whole alignment of ours."""

    clock: StageClock
    mpix: float

    @property
    def cpu_s(self) -> float:
        """Of the run, from headers to headers and the mosaic."""
        return sum(self.clock.of(stage) for stage in self.clock.stages)

    @property
    def later_s_per_mpix(self) -> float:
        """CPU s of a pass after the first, by Mpix; NaN where there was one."""
        later = range(2, self.clock.passes + 1)
        spent = sum(self.clock.of(stage, *later) for stage in self.clock.stages if later)
        return spent / self.mpix / len(later) if later else float("nan")


@dataclass(frozen=True)
class Spent:
    """What a way cost, for so many Mpix, and how well it aligned; NaN = it aligns nothing."""

    what: str
    cpu_s: float
    mpix: float
    residual_mpx: float = float("nan")

    def row(self, sky: str, ours_s_per_mpix: float) -> str:
        """Return a line of the table of peers."""
        each = self.cpu_s / self.mpix
        residual = "" if np.isnan(self.residual_mpx) else f"{self.residual_mpx:.2f}"
        return (
            f"| {sky} | {self.what} | {self.cpu_s:.2f} | {each:.3f} | "
            f"{ours_s_per_mpix / each:.2f} | {residual} |"
        )


def ours(run_yaml: Path, settings: dict[str, object], overrides: Sequence[str] = ()) -> Whole:
    """Align in this process, one task after the other."""
    run_yaml.write_text(yaml.safe_dump(settings))
    clock, pixels = StageClock(), 0
    result = api.align(run_yaml, api.RunOptions(listener=clock, overrides=tuple(overrides)))
    clock.end()
    for pattern in settings["images"]["paths"]:  # type: ignore[index]
        pixels += sum(
            n_pixels(file) for file in sorted(Path(pattern).parent.glob(Path(pattern).name))
        )
    assert result.headers
    return Whole(clock, pixels / 1e6)


def n_pixels(file: Path) -> int:
    with fits.open(file) as hdus:
        return int(next(hdu for hdu in hdus if hdu.header.get("CTYPE1")).data.size)


def simulated_run(scene: Scene, how: str) -> tuple[Whole, float]:
    """Return our alignment of a simulated set, by `ITERATIONS`, with its residual, mpx."""
    n = ITERATIONS[how]
    directory = scene.folder / f"run{how}".replace(" ", "-").replace(",", "")
    settings = {
        "run": {"directory": str(directory), "keep_mosaics": "none"},
        "images": {"paths": [str(scene.folder / "sky" / "*.fits")]},
        "alignment": {
            "geometry": "rscale",
            "eps_shift": EPS_SHIFT_PX,
            "max_iterations": n if isinstance(n, int) else list(n),
        },
        "output": {"wcs": "copy", "mosaic": "fits", "report": "none", "history": "none"},
        "cluster": {"backend": "serial"},
    }
    whole = ours(scene.folder / "run.yaml", settings)
    aligned = {
        f.stem: (celestial_from_file(str(f)),) for f in sorted((directory / "wcs").glob("*"))
    }
    found = evaluate(scene.truth, aligned, geometry=Geometry.RSCALE)
    return whole, 1e3 * found.after.local_rms_px


def real_run(name: str, folder: Path) -> Whole:
    """Return our alignment of a real set, by the configuration that the project has for it."""
    config, files, without = REAL[name]
    settings = yaml.safe_load((CONFIGS / config).read_text())
    settings["images"]["paths"] = [str((DATA / name / files).resolve())]
    settings["run"] = {"directory": str(folder / "run")}
    settings["output"] = {"mosaic": "fits", "report": "none", "wcs": "copy"}
    settings["cluster"] = {"backend": "serial"}
    return ours(folder / "run.yaml", settings, without)


def stage_rows(name: str, whole: Whole) -> list[str]:
    """Return lines of the table of stages."""
    clock = whole.clock
    later = range(2, clock.passes + 1)
    lines = []
    for stage in [*clock.stages, "all"]:
        of = [stage] if stage != "all" else clock.stages
        total, first, ends = (sum(clock.of(one, *some) for one in of) for some in ((), (1,), (0,)))
        rest = total - first - ends
        each = f"{rest / whole.mpix / len(later):.4f}" if later else ""
        source = f"{1e6 * total / sum(clock.displacements.values()):.0f}"
        lines.append(
            f"| {name} | {stage} | {total:.2f} | {total / whole.mpix:.4f} | "
            f"{first / whole.mpix:.4f} | {each} | {ends / whole.mpix:.4f} | {source} |"
        )
    return lines


def floors(scene: Scene) -> list[Spent]:
    """Return what nobody can do without, on the same files."""
    mpix = len(scene.files) * n_pixels(scene.files[0]) / 1e6
    found = []

    def clocked(what: str, n: float, work: Callable[[], object]) -> None:
        start = time.process_time()
        work()
        found.append(Spent(what, time.process_time() - start, n))

    pixels: list[np.ndarray] = []
    clocked("floor: FITS read to float32", mpix, lambda: pixels.extend(map(read, scene.files)))
    clocked("floor: memory copied, float32", mpix, lambda: [one.copy() for one in pixels])
    # To itself, moved: the map is given, and costs nothing here.
    ny, nx = pixels[0].shape
    pixel_map = np.stack(np.meshgrid(np.arange(nx) + 0.3, np.arange(ny) + 0.4), axis=-1)
    for kernel in ("turbo", "square"):
        sums = Drizzle(kernel=kernel, out_shape=(ny + 2, nx + 2), disable_ctx=True)
        clocked(
            f"floor: drizzle's {kernel} kernel, its map given", FEW * ny * nx / 1e6,
            lambda sums=sums: [
                sums.add_image(one, exptime=1.0, pixmap=pixel_map) for one in pixels[:FEW]
            ],
        )  # fmt: skip
    return found


def transforms_us() -> float:
    """Return us for one source: a correlation by transforms of 64 x 64 px in batches, no more."""
    images = np.random.default_rng(0).normal(size=(2, N_CUTOUTS, SIDE, SIDE)).astype(np.float32)
    start = time.process_time()
    for first in range(0, N_CUTOUTS, SIDE):
        some = images[:, first : first + SIDE]
        scipy.fft.irfft2(scipy.fft.rfft2(some[0]) * scipy.fft.rfft2(some[1]).conj())
    return 1e6 * (time.process_time() - start) / N_CUTOUTS


def read(file: Path) -> np.ndarray:
    with fits.open(file, memmap=False) as hdus:
        image = next(hdu for hdu in hdus if hdu.header.get("CTYPE1"))
        return np.asarray(image.data, np.float32)


def peers(scene: Scene) -> list[Spent]:
    """Return what other programs make of the same files."""
    mpix = len(scene.files) * n_pixels(scene.files[0]) / 1e6
    few = FEW * mpix / len(scene.files)
    found = []

    def clocked(what: str, n: float, work: Callable[[], object]) -> None:
        start = cpu_seconds()
        work()
        found.append(Spent(what, cpu_seconds() - start, n))

    def judged(what: str, work: Callable[[Scene], object]) -> None:
        start = cpu_seconds()
        aligned = work(scene)
        spent = cpu_seconds() - start
        residual = evaluate(scene.truth, aligned, geometry=Geometry.RSCALE).after.local_rms_px
        found.append(Spent(what, spent, mpix, 1e3 * residual))

    if not missing():
        judged("source-extractor + SCAMP, degree 3", scamped(3))
    if shutil.which("SWarp"):
        clocked("SWarp LANCZOS3, weighted coadd", mpix, lambda: swarped(scene))
    judged("sep + tweakwcs, rscale", tweaked("rscale"))
    clocked(f"reproject_and_coadd, {FEW} exposures", few, lambda: coadded(scene.files[:FEW]))
    clocked("reproject_interp, an exposure", few / FEW, lambda: interpolated(scene.files[:2]))
    what = f"scikit-image phase correlation, {FEW} exposures to the first, reprojected"
    try:
        # Made before the clock starts.
        python = interpreter("skimage")
    except MissingPeerError as error:
        print(error, file=sys.stderr)
    else:
        clocked(what, few, lambda: phase_correlated(python, scene.files[:FEW]))
    return found


def swarped(scene: Scene) -> None:
    """Resample all to one grid and add them up, on one core."""
    folder = scene.folder / "swarp"
    folder.mkdir(exist_ok=True)
    run(
        folder,
        *("SWarp", *(str(file) for file in scene.files), "-RESAMPLING_TYPE", "LANCZOS3"),
        *("-WEIGHT_TYPE", "NONE", "-COMBINE_TYPE", "WEIGHTED", "-NTHREADS", "1"),
        *("-SUBTRACT_BACK", "Y", "-WRITE_XML", "N", "-RESAMPLE_DIR", str(folder)),
    )


def with_wcs(file: Path) -> tuple[np.ndarray, WCS]:
    with fits.open(file, memmap=False) as hdus:
        image = next(hdu for hdu in hdus if hdu.header.get("CTYPE1"))
        return np.asarray(image.data, np.float32), WCS(image.header)


def coadded(files: Sequence[Path]) -> object:
    images = [with_wcs(file) for file in files]
    wcs, shape = find_optimal_celestial_wcs(images)
    return reproject_and_coadd(
        images, wcs, shape_out=shape, reproject_function=reproject_interp, combine_function="mean"
    )


def interpolated(files: Sequence[Path]) -> object:
    target, image = (with_wcs(file) for file in files)
    return reproject_interp(image, target[1], shape_out=target[0].shape)


def phase_correlated(python: Path, files: Sequence[Path]) -> None:
    """Find shifts by scikit-image, in an environment of its own; its start counts."""
    script = Path(__file__).with_name("fits") / "shifts_skimage.py"
    subprocess.run([python, script, *files], capture_output=True, check=True)


def simulated_set(name: str) -> tuple[list[str], list[str]]:
    """Return the lines of both tables for a simulated set."""
    with tempfile.TemporaryDirectory() as folder:
        api.simulate(CONFIGS / "simulations" / f"{name}.yaml", Path(folder) / "sky")
        scene = Scene(Path(folder), from_json(read_truth(Path(folder) / "sky")))
        runs = {how: simulated_run(scene, how) for how in ITERATIONS}
        stages = [row for how, (whole, _) in runs.items() for row in stage_rows(name + how, whole)]
        mine = [
            Spent(f"alignsvc, headers and mosaic{how}", whole.cpu_s, whole.mpix, residual)
            for how, (whole, residual) in runs.items()
        ]
        whole, _ = runs[""]
        each = whole.cpu_s / whole.mpix
        return stages, [one.row(name, each) for one in (*mine, *floors(scene), *peers(scene))]


def real_set(name: str) -> list[str]:
    with tempfile.TemporaryDirectory() as folder:
        return stage_rows(name, real_run(name, Path(folder)))


def main(names: Sequence[str] = (*SIMULATED, *REAL)) -> str:
    """Return both tables."""
    stages, ways, absent = [], [], []
    # What is made once in a process, compiled code above all, is nobody's.
    simulated_set("pair") if names else None
    for name in names:
        if name not in REAL:
            its_stages, its_ways = simulated_set(name)
            stages, ways = [*stages, *its_stages], [*ways, *its_ways]
        elif (DATA / name).is_dir():
            stages += real_set(name)
        else:
            absent.append(name)
        print(name, file=sys.stderr, flush=True)
    absent += missing()
    absent += [] if shutil.which("SWarp") else ["swarp"]
    return "\n".join(
        [
            f"Serial, to eps_shift {EPS_SHIFT_PX} px (real sets: their configurations), the final "
            "mosaic included. CPU s by Mpix of input; pass 1 and 0 (before and after the loop) by "
            "Mpix, a later pass by Mpix and pass; us of all that was measured in all passes.",
            "",
            "| set | stage | CPU s | s/Mpix | in pass 1 | in a later pass | before and after | "
            "us a displacement |",
            "|---|---|---|---|---|---|---|---|",
            *stages,
            "",
            f"A correlation by transforms of {SIDE} x {SIDE} px, in batches, takes "
            f"{transforms_us():.0f} us: no peak, no errors.",
            "",
            "| set | way | CPU s | s/Mpix | ours over it, by Mpix | local rms, mpx |",
            "|---|---|---|---|---|---|",
            *ways,
            *(["", f"**Not here: {', '.join(absent)}.**"] if absent else []),
        ]
    )


if __name__ == "__main__":
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        print(main(tuple(sys.argv[1:]) or (*SIMULATED, *REAL)))
