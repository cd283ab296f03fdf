"""What the measurement of an exposure said of its single sources, from a run's tables."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from alignsvc.domain.arrays import FloatArray, IntArray
from alignsvc.domain.measurement import Displacements
from alignsvc.errors import ConfigError, DamagedProduct
from alignsvc.io.locations import RunLocations
from alignsvc.io.places import Place
from alignsvc.io.tables import read_table
from alignsvc.run.solved_table import SolvedTable
from alignsvc.run.state import PassRecord
from alignsvc.run.stored import state_of


@dataclass(frozen=True, slots=True, eq=False)
class ExposureResiduals:
    """Sources of an exposure as one pass measured them, a row each.

    A residual is what must be added to a source's place in the exposure to reach its place in the
    mosaic of all the others, by the corrections with which the pass *began*. So in the last pass of
    a run that has converged it is what is left, but for a step below ``eps_shift``.

    Parameters
    ----------
    exposure : str
        Its id.
    pass_number : int
    source, chip : int64, shape (n,)
        The source's id, and the index of the chip that shows it.
    x, y : float64, shape (n,)
        Where it lies, 0-based pixels of the chip.
    residual_px : float64, shape (n, 2)
        Along x and y, pixels of the chip; NaN where it could not be measured.
    error_px : float64, shape (n, 2)
        By the noise of the exposure and of the mosaic of the others.
    flags : int64, shape (n,)
        Bits of `DisplacementFlag`: 0 where the fit could use it.
    """

    exposure: str
    pass_number: int
    source: IntArray
    chip: IntArray
    x: FloatArray
    y: FloatArray
    residual_px: FloatArray
    error_px: FloatArray
    flags: IntArray

    def __len__(self) -> int:
        return len(self.source)

    @classmethod
    def of(cls, exposure: str, pass_number: int, measured: Displacements) -> ExposureResiduals:
        """Return what a pass measured as residuals."""
        covariance = measured.own_covariance + measured.template_covariance
        known = np.where(covariance >= 0, covariance, np.nan)
        return cls(
            exposure,
            pass_number,
            *(measured.source, measured.chip, measured.x, measured.y),
            np.stack([measured.dx, measured.dy], axis=1),
            np.sqrt(known[:, [0, 2]]),
            measured.flags,
        )


def find_exposure_residuals(
    run: Place, exposure: str, pass_number: int | None = None
) -> ExposureResiduals:
    """Return the residuals of an exposure's sources; see `alignsvc.residuals`.

    Raises
    ------
    ConfigError
        The pass did not solve the exposure, or its tables are gone.
    RunStoreError
        There is no run, or its journal cannot be trusted.
    """
    objects = RunLocations(run).objects
    record = _record(run, pass_number)
    assert record.solution is not None
    try:
        solved = read_table(objects, record.solution.table, SolvedTable, record.solution.digest)
        tables = {
            str(name): str(table)
            for name, table in zip(solved.id, solved.displacements, strict=True)
            if table
        }
        if exposure not in tables:
            known = ", ".join([*tables][:3]) + (", ..." if len(tables) > 3 else "")
            raise ConfigError(
                f"{run}: residuals of exposure {exposure} wanted, pass {record.number} measured "
                f"{known or 'none'}; `alignsvc explain {run} {exposure}` says what happened to it"
            )
        measured = read_table(objects, tables[exposure], Displacements)
    except DamagedProduct as error:
        raise ConfigError(
            f"{run}: residuals of pass {record.number} cannot be read ({error}); `alignsvc clean` "
            "removes them, the report keeps what they add up to"
        ) from error
    return ExposureResiduals.of(exposure, record.number, measured)


def _record(run: Place, pass_number: int | None) -> PassRecord:
    solved = {one.number: one for one in state_of(run).solved_passes}
    wanted = max(solved, default=0) if pass_number is None else pass_number
    if wanted not in solved:
        which = "a solved pass" if pass_number is None else f"pass {pass_number}"
        found = ", ".join(map(str, solved)) or "none yet"
        raise ConfigError(f"{run}: residuals of {which} wanted, passes solved: {found}")
    return solved[wanted]
