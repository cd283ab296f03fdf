"""Joint fits of sources and WCS beside AstroPhot's, on the same pixels; and scenes of any size.

Every program runs in processes of its own, ours too, so that start-up and memory are its own.
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from harness import RESULTS
from model_scenes import FWHM_PX, INVERSE_INDEX, Stars
from peer_environment import FITS, MissingPeerError, interpreter, megabytes

sys.path.insert(0, str(RESULTS.parents[1] / "science"))
from tutorial_scene import MIDDLE_OF_STARS, TUTORIAL, Tutorial, bound, exposures, header

from alignsvc.numerics.models.light.profile import Places
from alignsvc.numerics.models.profiles.moffat import Moffat

SHIFTED, TURNED = TUTORIAL, replace(TUTORIAL, turn=math.pi / 32)
#: The stars' middle, and a point on either side of it, px of the first image.
POINTS = MIDDLE_OF_STARS + 30 * np.array([[0, 0], [1, 0], [-1, 0]])
REPEATS = 3
SEEDS, SEEDS_OF_PEER = 400, 8
#: Seeds whose pixels are on disk at once.
BATCH = 100
PEER = "AstroPhot 0.18"
SIDE_PX = 512
ONE_THREAD = {f"{of}_NUM_THREADS": "1" for of in ("OMP", "OPENBLAS", "MKL")}
LARGE = (
    (Stars(4, 20, 31, "double"), "10 ms"),
    (Stars(4, 20, 41, "double"), "10 ms"),
    (Stars(8, 100, 31), "50 ms, 250 MB"),
    (Stars(8, 100, 41), "50 ms, 250 MB"),
    (Stars(64, 1000, 15), "3000 ms"),
    (Stars(64, 1000, 41), "3000 ms"),
)
SERIES = (
    *(Stars(exposures, 100, 31) for exposures in (4, 16, 64)),
    *(Stars(8, sources, 31) for sources in (100, 400, 1600)),
)


@dataclass(frozen=True)
class Program:
    """A program that fits scenes: who, by which Python, with which script."""

    name: str
    python: Path
    script: str

    def __call__(self, work: Sequence[dict] | dict) -> dict:
        """Return what it says of its work, done in a new process."""
        with tempfile.TemporaryDirectory() as folder:
            done = subprocess.run(
                [str(self.python), str(FITS / self.script)],
                input=json.dumps(work),
                env={**os.environ, **ONE_THREAD},
                cwd=folder,  # AstroPhot leaves a log where it runs.
                capture_output=True,
                text=True,
                check=False,
            )
        if done.returncode:
            raise RuntimeError(f"{self.name} ended with {done.returncode}: {done.stderr[-800:]}")
        return json.loads(done.stdout)


OURS = Program("alignsvc", Path(sys.executable), "fit_alignsvc.py")
WINDOWS = Program("alignsvc", Path(sys.executable), "fit_windows.py")
ON_WORKERS = Program("alignsvc", Path(sys.executable), "fit_on_workers.py")


def astrophot() -> Program | str:
    """The peer, or loud words that it is missing."""
    try:
        return Program(PEER, interpreter("astrophot"), "fit_astrophot.py")
    except MissingPeerError as why:
        print(f"MISSING: {why}", file=sys.stderr, flush=True)
        return f"**{PEER} is missing from this table: {why}**"


def written(folder: Path, truth: Tutorial, seed: int) -> str:
    """Write the tutorial's pixels for both programs; stars are given to the pixel."""
    path, images = folder / f"{truth.turn:.3f}-{seed}.npz", exposures(truth, seed)
    np.savez(
        path,
        pixels=np.stack([one.pixels for one in images]),
        variance=np.stack([one.variance for one in images]),
        header=header().to_header().tostring(),
        stars=np.rint(np.stack([truth.x, truth.y], axis=1)),
        points=POINTS,
    )
    return str(path)


def errors(fit: dict, truth: Tutorial) -> np.ndarray:
    """By how much shift x, y [px] and turn [rad] of the last image are wrong."""
    middle, right, left = np.array(fit["pixels"])
    turn = math.atan2(*(right - left)[::-1]) - truth.turn
    return np.append(middle - MIDDLE_OF_STARS - truth.shift, turn)


def tutorial() -> str:
    """Three fits of two images and three stars: what they cost, side by side."""
    peer = astrophot()
    programs = [OURS] if isinstance(peer, str) else [OURS, peer]
    with tempfile.TemporaryDirectory() as folder:
        work = [
            {"file": written(Path(folder), SHIFTED, 1), "geometries": ["none", "shift"]},
            {"file": written(Path(folder), TURNED, 1), "geometries": ["rshift"]},
        ]
        runs = {one.name: [] for one in programs}
        for _ in range(REPEATS):
            for one in programs:
                # Twice over: the first fits of a process also import and warm up.
                runs[one.name].append(one([*work, *work]))
    columns = [_tutorial_column(runs[one.name]) for one in programs]
    wanted = {"CPU s: all three": "< 0.1", "CPU s: start-up, imports, reading": "<= 1.5",
              "peak memory, MB": "< 250"}  # fmt: skip
    lines = [
        f"| | wanted | {' | '.join(one.name for one in programs)} |",
        f"|---|---|{'---|' * len(programs)}",
    ]
    for row in columns[0]:
        cells = " | ".join(column[row] for column in columns)
        lines.append(f"| {row} | {wanted.get(row, '')} | {cells} |")
    lines += ["", peer if isinstance(peer, str) else _words_on_the_peer()]
    return "\n".join(lines)


def _tutorial_column(runs: list[dict]) -> dict[str, str]:
    every = np.array([[fit["cpu_s"] for fit in run["fits"]] for run in runs])
    rest = np.array([run["cpu_s"] for run in runs]) - every.sum(axis=1)
    first, cpu = np.split(every, 2, axis=1)
    fits = runs[0]["fits"][3:]
    steps = [fit["iterations"] for fit in fits]
    ratio = np.abs(errors(fits[-1], TURNED)) / bound(TURNED)
    names = ("no correction", "shift", "shift and rotation")
    column = {
        f"CPU s: {name}": f"{np.median(took):.3f}" for name, took in zip(names, cpu.T, strict=True)
    }
    return column | {
        "CPU s: all three": f"{np.median(cpu.sum(axis=1)):.3f}",
        "CPU s: all three, the first of the process": f"{np.median(first.sum(axis=1)):.3f}",
        "iterations": ", ".join(map(str, steps)),
        "CPU s an iteration": f"{np.median(cpu.sum(axis=1)) / sum(steps):.4f}",
        "CPU s: start-up, imports, reading": f"{np.median(rest):.2f}",
        "peak memory, MB": f"{max(run['peak_mb'] for run in runs):.0f}",
        "chi2/dof": ", ".join(f"{fit['chi2_per_degree']:.3f}" for fit in fits),
        "outcome": ", ".join(dict.fromkeys(fit["outcome"] for fit in fits)),
        "error of x, y, turn over the bound": ", ".join(f"{one:.2f}" for one in ratio),
    }


def _words_on_the_peer() -> str:
    return (
        f"Medians of {REPEATS} processes each. Ours seeks the stars and the start in the pixels, "
        f"in each fit anew; {PEER} is given the stars to the pixel, and its second fit begins "
        f"where the first ended. Its environment takes {megabytes('astrophot'):.0f} MB."
    )


def noise() -> str:
    """Shift and turn over many seeds, in units of the bound."""
    peer = astrophot()
    mine = [fit for first in range(0, SEEDS, BATCH) for fit in _turned(OURS, first, BATCH)]
    theirs = [] if isinstance(peer, str) else _turned(peer, 0, SEEDS_OF_PEER)
    limit = bound(TURNED)
    all_mine = np.array([errors(fit, TURNED) for fit in mine]) / limit
    some = f"0-{SEEDS_OF_PEER - 1}"
    lines = [
        "| | seeds | x, y: rms over bound | turn: rms over bound | turn: mean in its error "
        "| outcomes |",
        "|---|---|---|---|---|---|",
        _noise_row("alignsvc", f"0-{SEEDS - 1}", all_mine, mine),
        _noise_row("alignsvc", some, all_mine[:SEEDS_OF_PEER], mine[:SEEDS_OF_PEER]),
    ]
    if isinstance(peer, str):
        return "\n".join([*lines, "", peer])
    all_theirs = np.array([errors(fit, TURNED) for fit in theirs]) / limit
    lines.append(_noise_row(PEER, some, all_theirs, theirs))
    off = all_theirs - all_mine[:SEEDS_OF_PEER]
    lines.append(_noise_row(f"{PEER} less alignsvc", some, off, ()))
    return "\n".join(lines)


def _turned(program: Program, first: int, count: int) -> list[dict]:
    with tempfile.TemporaryDirectory() as folder:
        work = [
            {"file": written(Path(folder), TURNED, seed), "geometries": ["rshift"]}
            for seed in range(first, first + count)
        ]
        return program(work)["fits"]


def _noise_row(who: str, seeds: str, ratios: np.ndarray, fits: Sequence[dict]) -> str:
    n = len(ratios)
    cells = []
    for part in (ratios[:, :2], ratios[:, 2]):
        rms = math.sqrt(np.mean(part**2))
        cells.append(f"{rms:.2f} +- {rms / math.sqrt(2 * part.size):.2f}")
    cells.append(f"{ratios[:, 2].mean() * math.sqrt(n):.1f}" if fits else "")
    outcomes = [fit["outcome"].partition(".")[0] for fit in fits]
    cells.append(", ".join(f"{outcomes.count(one)} {one}" for one in dict.fromkeys(outcomes)))
    return f"| {who} | {seeds} | {' | '.join(cells)} |"


def scenes() -> str:
    """What passes over larger scenes cost, and whether the cost is linear."""
    lines = [
        "| exposures x stars | windows, px | unknowns | wanted | ms a pass | ns a pixel | fit, s "
        "| passes | MB |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for stars, wanted in LARGE:
        run = WINDOWS([asdict(stars)])
        lines.append(_scene_row(stars, wanted, run["scenes"][0], run["peak_mb"]))
        print(lines[-1], flush=True)
    series = [
        1e6 * one["pass_s"] / (stars.exposures * stars.sources)
        for stars, one in zip(SERIES, WINDOWS([asdict(one) for one in SERIES])["scenes"],
                              strict=True)
    ]  # fmt: skip
    sizes = ", ".join(
        f"{stars.exposures} x {stars.sources} {cost:.1f}"
        for stars, cost in zip(SERIES, series, strict=True)
    )
    spread = 100 * (max(series) / min(series) - 1)
    lines += [
        "",
        f"us a star and exposure, windows of 31 px: {sizes}; linear within {spread:.0f} %.",
    ]
    print(lines[-1], flush=True)
    lines += ["", *_whole_images()]
    return "\n".join(lines)


def workers() -> str:
    """A whole fit of 64 exposures of 1,000 stars in one piece, and in parts on workers."""
    lines = [
        "| windows, px | where | wall, s | over one piece | CPU of the driver, s | CPU of the "
        "workers, s | of it their start, s | page faults, 1e3 | passes | off, sigma |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for window_px in (15, 41):
        stars = asdict(Stars(64, 1000, window_px))
        fits = ON_WORKERS({"stars": stars, "workers": [0, 1, 2]})["fits"]
        whole = fits[0]["wall_s"]
        for fit in fits:
            n = fit["workers"]
            where = f"{n} worker{'s' * (n > 1)}" if n else "one piece"
            lines.append(
                f"| {window_px} | {where} | {fit['wall_s']:.2f} | {fit['wall_s'] / whole:.2f} | "
                f"{fit['driver_s']:.2f} | {fit['workers_s']:.2f} | {fit['workers_start_s']:.2f} | "
                f"{fit['faults'] / 1e3:.0f} | {fit['passes']} | "
                f"{fit['off_sigma']:.0e} |"
            )
            print(lines[-1], flush=True)
    lines += ["", "The wall time has no start of workers in it; theirs was measured with no fit."]
    return "\n".join(lines)


def _scene_row(stars: Stars, wanted: str, found: dict, peak_mb: float) -> str:
    pixels = stars.exposures * stars.sources * stars.window_px**2
    return (
        f"| {stars.exposures} x {stars.sources} | {stars.window_px}, {stars.precision} | "
        f"{found['unknowns']} | {wanted} | {1e3 * found['pass_s']:.1f} | "
        f"{1e9 * found['pass_s'] / pixels:.0f} | {found['fit_s']:.3g} | {found['passes']} | "
        f"{peak_mb:.0f} |"
    )


def _whole_images() -> list[str]:
    """4 images of 20 stars as both programs are handed them; one iteration of the peer's."""
    peer = astrophot()
    with tempfile.TemporaryDirectory() as folder:
        work = {"file": crowd(Path(folder), 4, 20), "geometries": ["rshift"], "most_iterations": 1}
        runs = [(OURS.name, OURS([work]))]
        if not isinstance(peer, str):
            runs.append((PEER, peer([work])))
    lines = [
        "| 4 images of 512 x 512 px, 20 stars | unknowns | iterations | CPU s | CPU s an iteration "
        "| MB |",
        "|---|---|---|---|---|---|",
    ]
    for name, run in runs:
        fit = run["fits"][0]
        each = fit["cpu_s"] / max(fit["iterations"], 1)
        lines.append(
            f"| {name} | {fit['unknowns']} | {fit['iterations']} | {fit['cpu_s']:.3g} | "
            f"{each:.3g} | {run['peak_mb']:.0f} |"
        )
    unknowns = 800 + 200 + 7 * 3 + 8 * 3
    jacobian = 8 * SIDE_PX**2 * unknowns * 8 / 1e9
    lines += [
        "",
        peer if isinstance(peer, str) else
        f"{PEER} was stopped after an iteration. 8 images of 100 stars it cannot hold: one "
        f"Jacobian of all pixels times {unknowns} unknowns is {jacobian:.0f} GB, and it copies it.",
    ]  # fmt: skip
    return lines


def crowd(folder: Path, n_exposures: int, n_stars: int) -> str:
    """Write images of stars, all with one header, off by half a pixel and 2e-4 rad."""
    random = np.random.default_rng(0)
    lattice = math.ceil(math.sqrt(n_stars))
    pitch = SIDE_PX / lattice
    at = (np.array(np.divmod(np.arange(n_stars), lattice)) + 0.5) * pitch
    at += random.uniform(-0.2, 0.2, at.shape) * pitch
    flux, middle = 10 ** random.uniform(4.0, 5.0, n_stars), (SIDE_PX - 1) / 2
    star, shape = Moffat(nodes=5), np.array([math.log(FWHM_PX), INVERSE_INDEX])
    pixels = []
    for e in range(n_exposures):
        angle, shift = (random.normal(0, 2e-4), random.normal(0, 0.5, 2)) if e else (0, np.zeros(2))
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        x, y = turn @ (at - middle) + middle + shift[:, None]
        light = np.tensordot(flux, star(Places(x, y, SIDE_PX), shape).value, 1)
        pixels.append(random.normal(100.0 + light, 10.0))
    wcs = header()
    wcs.wcs.crpix = [middle + 1, middle + 1]
    path = folder / "crowd.npz"
    np.savez(
        path,
        pixels=np.stack(pixels),
        variance=np.full((n_exposures, SIDE_PX, SIDE_PX), 100.0),
        header=wcs.to_header().tostring(),
        stars=np.rint(at.T),
        points=np.array([[middle, middle]]),
    )
    return str(path)


if __name__ == "__main__":
    print("\n\n".join(part() for part in (tutorial, noise, scenes, workers)))
