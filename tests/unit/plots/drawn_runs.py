"""Pictures of runs made of numbers, to be drawn: no store, no exposure."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from alignsvc.domain.arrays import FloatArray
from alignsvc.domain.outcome import Status, Verdict
from alignsvc.io.journal import ExposureEnded, VerdictGiven
from alignsvc.run.planning.outlines import Outlines
from alignsvc.run.records.state import RunState
from alignsvc.run.seeing.pass_columns import PassColumns
from alignsvc.run.seeing.picture import RunPicture
from alignsvc.run.status.run_status import RunStatus
from alignsvc.run.status.stage_times import StageTime

EPS_PX = 0.003
#: Side of an exposure, degrees.
SIDE = 0.1
SHIFT_MAS = np.array([[30.0, 40.0], [-60.0, 80.0], [0.0, -10.0]])
MOVES_PX = np.array([[1.5, 0.02, 0.001], [2.5, 0.03, 0.002], [0.5, np.nan, 0.0005]])


def outlines(ra: FloatArray, dec: FloatArray, names: list[str]) -> Outlines:
    """Squares on the sky about these middles; planes are about 0.5, 0.25 arcsec from them."""
    n = len(names)
    corner = 0.5 * SIDE * np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]])
    return Outlines(
        id=np.array(names),
        middle_ra=ra,
        middle_dec=dec,
        middle_x=np.full(n, 0.5),
        middle_y=np.full(n, 0.25),
        scale_arcsec=np.full(n, 0.2),
        owner=np.arange(n),
        first=4 * np.arange(n + 1),
        ra=(ra[:, None] + corner[:, 0] / np.cos(np.radians(dec))[:, None]).ravel(),
        dec=(dec[:, None] + corner[:, 1]).ravel(),
    )


def pass_columns(
    number: int, names: list[str], move_px: FloatArray, shift_mas: FloatArray
) -> PassColumns:
    """A pass of shifts with errors of 1 and 2 mas, uncorrelated."""
    n = len(names)
    return PassColumns(
        number=number,
        is_full=number == 1,
        movement_px=float(np.nanmax(move_px)),
        n_catalogued=100,
        id=np.array(names),
        matrix=np.tile(np.eye(2), (n, 1, 1)),
        shift_arcsec=1e-3 * shift_mas,
        error_arcsec=np.tile([1e-3, 2e-3], (n, 1)),
        move_px=move_px,
        rmse_px=np.full(n, 0.05),
        n_sources=np.full(n, 90),
        n_used=np.full(n, 80),
    )


def three_exposures() -> RunPicture:
    """Three exposures on a row, three passes, one that failed before all and has no outline.

    The middle one of the last pass comes first in the outlines, as exposures that are not measured
    again do.
    """
    names = ["a", "b", "c"]
    ra, dec = np.array([10.1, 10.0, 10.2]), np.array([0.0, 0.0, 0.0])
    passes = tuple(
        pass_columns(k + 1, names, MOVES_PX[:, k], SHIFT_MAS * (k + 1) / 3) for k in range(3)
    )
    ended = {"d": ExposureEnded("d", Status.FAILED, "empty", "d.fits is empty")}
    verdicts = {
        "a": VerdictGiven("a", Verdict.IMPROVED, 1.0, 0.02),
        "b": VerdictGiven("b", Verdict.UNCHANGED, 0.1, 0.09),
        "c": VerdictGiven("c", Verdict.UNTESTED, float("nan"), float("nan")),
    }
    state = RunState(identity="x", ended=ended, verdicts=verdicts, exit_code=1)
    return RunPicture(
        RunStatus(Path("run"), state, eps_shift_px=EPS_PX, now_s=2000.0),
        passes,
        (
            StageTime("measure", 1, 1000.0, 1060.0, n_tasks=3, n_failed=1),
            StageTime("merge", 1, 1060.0, 1090.0, n_tasks=1),
            StageTime("measure", 2, 1090.0, None, n_tasks=3, is_lost=True),
            StageTime("measure", 2, 1200.0, 1300.0, n_tasks=3),
        ),
        outlines(ra, dec, ["b", "a", "c"]),
    )


def many_exposures(n: int, n_passes: int) -> RunPicture:
    """A survey of n exposures, of which a tenth was skipped."""
    random = np.random.default_rng(1)
    names = [f"e{k:05d}" for k in range(n)]
    side = int(np.ceil(np.sqrt(n)))
    ra, dec = (0.06 * part[:n].astype(float) for part in np.divmod(np.arange(side**2), side))
    moves = 10.0 ** (random.normal(0.0, 0.3, (n, n_passes)) - np.arange(n_passes))
    ended = {name: ExposureEnded(name, Status.SKIPPED, "few", "") for name in names[::10]}
    shift = random.normal(0.0, 100.0, (n, 2))
    return RunPicture(
        RunStatus(Path("run"), RunState(ended=ended, exit_code=0), eps_shift_px=EPS_PX),
        tuple(pass_columns(k + 1, names, moves[:, k], shift) for k in range(n_passes)),
        outlines=outlines(150.0 + ra, dec, names),
    )


def empty_run() -> RunPicture:
    """A run that has just begun."""
    return RunPicture(RunStatus(Path("run"), RunState(identity="x"), eps_shift_px=EPS_PX))
