"""One exposure as its last measured pass left it: residuals of all sources, pixels of the worst.

Read from what the run keeps for people under ``history/`` and from the table of its solve: neither
inputs nor the mosaic are needed, so that it works wherever the run's store is.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from alignsvc.config.load import parse_config
from alignsvc.domain.arrays import Float32Array, FloatArray, IntArray
from alignsvc.domain.measurement import Displacements
from alignsvc.domain.quality import FLAG_TEXT, DisplacementFlag
from alignsvc.errors import AlignError, DamagedProduct
from alignsvc.io.journal_store import Journal
from alignsvc.io.locations import CONFIG
from alignsvc.io.objects import ObjectStore
from alignsvc.io.tables import read_table
from alignsvc.numerics.displacement.shifted_planes import shifted_plane
from alignsvc.numerics.displacement.source_pixels import SourcePixels
from alignsvc.numerics.displacement.worst_sources import significance
from alignsvc.run.history import kept_folders
from alignsvc.run.identity import fingerprints_among
from alignsvc.run.solved_table import SolvedTable
from alignsvc.run.state import PassRecord, RunState, fold
from alignsvc.tasks.diagnostics import DISPLACEMENTS, PIXELS, PLACES, SourcePlaces

#: What became of a source: these words stand in the JSON, too.
IN_THE_FIT, HELD_OUT, REJECTED = "in the fit", "held out", "rejected"
_NO_PIXELS = "no pixels are kept of it: output.diagnostics_mb has no room, or they were not made"
#: What is not taken off where sources are placed by a model.
_CATALOGUE = (
    "sources placed by a model are compared with the catalogue's places: where these are wrong, "
    "all exposures have the same residual, which the solve takes up and this does not show"
)


@dataclass(frozen=True, slots=True, eq=False)
class SourceResiduals:
    """What the fit leaves of each source's displacement, in pixels of the exposure's chips.

    Parameters
    ----------
    source, chip : int64, shape (n,)
    x, y : float64, shape (n,)
        Where the source should lie in the chip by the WCS that it was measured with.
    measured_px : float64, shape (n, 2)
        The displacement: what must be added to its place in the exposure to come to that in the
        mosaic of the others. NaN where it could not be measured.
    fitted_px : float64, shape (n, 2)
        What the correction of this pass adds there; NaN while the pass is not solved.
    covariance_px2 : float64, shape (n, 3)
        xx, xy, yy of the displacement: of the exposure's noise and the template's.
    snr : float64, shape (n,)
        In the mosaic.
    flags : int64, shape (n,)
        Bits of `DisplacementFlag`.
    """

    source: IntArray
    chip: IntArray
    x: FloatArray
    y: FloatArray
    measured_px: FloatArray
    fitted_px: FloatArray
    covariance_px2: FloatArray
    snr: FloatArray
    flags: IntArray

    @property
    def residual_px(self) -> FloatArray:
        """The displacement less what the correction adds; the displacement itself before that."""
        return self.measured_px - np.nan_to_num(self.fitted_px)

    @property
    def error_px(self) -> FloatArray:
        """Of the residual along x and y, shape (n, 2)."""
        known = np.where(self.covariance_px2 >= 0, self.covariance_px2, np.nan)
        return np.sqrt(known[:, [0, 2]])

    @property
    def sigma(self) -> FloatArray:
        """How many errors the residual is long."""
        return significance(self.residual_px, self.covariance_px2)

    @property
    def fate(self) -> list[str]:
        """Whether it is in the fit, held out or rejected by the measurement.

        What the solve itself gave no weight is in the fit here: that is known of all of an
        exposure's sources together only (`ExposureDetail.n_used`).
        """
        held = int(DisplacementFlag.HELD_OUT)
        return [
            IN_THE_FIT if flags == 0 else HELD_OUT if flags == held else REJECTED
            for flags in self.flags.tolist()
        ]

    def reasons(self, row: int) -> list[str]:
        """Return why a source was rejected, in words; empty if it was not."""
        flags = int(self.flags[row]) & ~int(DisplacementFlag.HELD_OUT)
        return [FLAG_TEXT[one] for one in DisplacementFlag if one and flags & one]


@dataclass(frozen=True, slots=True, eq=False)
class SourceCutout:
    """The pixels of one source.

    Parameters
    ----------
    row : int
        Of the source among the residuals.
    corner : tuple of int
        x and y of the first pixel in its chip.
    exposure : float32, shape (side, side)
        Without its sky; NaN where a pixel is bad, off the chip or another source's.
    mosaic : float32, shape (side, side)
        The mosaic of the others by the WCS that was measured with, in the seeing of the chip.
    before, after : float32, shape (side, side)
        That mosaic where the input header has it, and where the correction puts it: `mosaic` at
        pixels moved by what these differ from the WCS that was measured with, by a quintic
        B-spline. `after` is `mosaic` while the pass is not solved.
    correlation : float32, shape (map side, map side)
        The interlaced map: the middle is no shift, a sample half a pixel.
    model : float32, shape (side, side), or None
        What a profile says of it, if the source was placed by one.
    header_px : tuple of float
        How far the header's place is from the one that was measured with, px along x and y.
    """

    row: int
    corner: tuple[int, int]
    exposure: Float32Array
    mosaic: Float32Array
    before: Float32Array
    after: Float32Array
    correlation: Float32Array
    model: Float32Array | None
    header_px: tuple[float, float]


@dataclass(frozen=True, slots=True, eq=False)
class ExposureDetail:
    """One exposure, seen from near.

    Parameters
    ----------
    id : str
    pass_number : int
        The last one that has measured it; 0 if none is known.
    is_solved : bool
        Whether that pass is solved.
    n_used : int or None
        Sources that its solve used; None while it is not solved.
    chip_shape : int64, shape (m, 2)
        (ny, nx) of its chips; zeros for one that showed nothing.
    residuals : SourceResiduals or None
    cutouts : tuple of SourceCutout
        The worst source first; sources that the measurement rejected come last.
    missing : tuple of str
        What is not there, and why.
    """

    id: str
    pass_number: int = 0
    is_solved: bool = False
    n_used: int | None = None
    chip_shape: IntArray | None = None
    residuals: SourceResiduals | None = None
    cutouts: tuple[SourceCutout, ...] = ()
    missing: tuple[str, ...] = ()


def find_exposure_detail(
    objects: ObjectStore, exposure_id: str, state: RunState | None = None
) -> ExposureDetail | None:
    """Return what a run keeps of an exposure for people.

    Parameters
    ----------
    objects : ObjectStore
        The run directory.
    exposure_id : str
    state : RunState or None
        Where the run stands; None: its journal is read.

    Returns
    -------
    ExposureDetail or None
        None if the run has no such exposure. What is not there, or cannot be read, is named in
        `ExposureDetail.missing`.

    Raises
    ------
    RunStoreError
        The journal cannot be trusted.
    """
    if state is None:
        state = fold(Journal(objects, time.time).events())
    if exposure_id not in {*fingerprints_among(state.parts), *state.ended, *state.states}:
        return None
    for record, folder in zip(reversed(state.passes), _folders(state), strict=True):
        stem = f"{folder}{exposure_id}"
        if objects.exists(stem + DISPLACEMENTS):
            return _measured_in(objects, record, (exposure_id, stem))
    return ExposureDetail(exposure_id, missing=(_why_nothing(objects, exposure_id, state),))


def _folders(state: RunState) -> tuple[str, ...]:
    return kept_folders([record.number for record in state.passes])


def _why_nothing(objects: ObjectStore, exposure_id: str, state: RunState) -> str:
    """Return why there is nothing to show of an exposure."""
    end = state.ended.get(exposure_id)
    if end is not None and not state.solved_passes:
        return f"it was not measured: {end.message or end.reason}"
    kept = _history_setting(objects)
    if kept == "none":
        return "output.history is none: the run keeps no displacements and no pixels"
    if end is not None:
        return f"it was not measured in the last pass: {end.message or end.reason}"
    if state.solved_passes:
        return "its displacements are not under history/ any more, or it was not measured"
    return "no pass has measured it yet"


def _history_setting(objects: ObjectStore) -> str:
    content = objects.find(CONFIG)
    if content is None:
        return ""
    try:
        return parse_config(content.decode(), CONFIG).output.history
    except AlignError:  # of another version: what it says of history is not known
        return ""


def _measured_in(objects: ObjectStore, record: PassRecord, kept: tuple[str, str]) -> ExposureDetail:
    """Return an exposure as a pass measured it; `kept`: its id, and how its files' names begin."""
    name, stem = kept
    missing: list[str] = []
    try:
        measured = read_table(objects, stem + DISPLACEMENTS, Displacements)
        places = read_table(objects, stem + PLACES, SourcePlaces)
    except DamagedProduct as error:
        why = f"its displacements cannot be read, or another version of alignsvc left them: {error}"
        return ExposureDetail(name, record.number, missing=(why,))
    correction = _CorrectionOfPass.found(objects, record, name)
    if correction is None:
        missing.append(f"pass {record.number} has no solution yet: no correction is taken off")
    moved = _Moved.of(measured, places, correction)
    residuals = _residuals(measured, places, moved)
    cutouts: tuple[SourceCutout, ...] = ()
    try:
        pixels = read_table(objects, stem + PIXELS, SourcePixels)
        cutouts = tuple(_worst_first(residuals, _cutouts(pixels, residuals, moved)))
    except DamagedProduct as error:
        if objects.exists(stem + PIXELS):
            missing.append(f"its pixels cannot be read: {error}")
    if any(one.model is not None for one in cutouts):
        missing.append(_CATALOGUE)
    if not cutouts:
        missing.append(_NO_PIXELS)
    return ExposureDetail(
        name,
        record.number,
        correction is not None,
        None if correction is None else correction.n_used,
        places.chip_shape,
        residuals,
        cutouts,
        tuple(missing),
    )


@dataclass(frozen=True, slots=True, eq=False)
class _CorrectionOfPass:
    """The totals of an exposure's chips with which a pass began and ended.

    ``new = M (old + s_k) + shift`` of chip k, in the plane of the correction.

    Parameters
    ----------
    start, end : float64, shape (6,)
        Parameters: shift, then M.
    chip_start, chip_end : float64, shape (m, 2) or (0, 2)
        Shifts of chips s_k; none if no chip has any.
    n_used : int
    """

    start: FloatArray
    end: FloatArray
    chip_start: FloatArray
    chip_end: FloatArray
    n_used: int

    @classmethod
    def found(
        cls, objects: ObjectStore, record: PassRecord, exposure_id: str
    ) -> _CorrectionOfPass | None:
        """Return those of a solved pass; None if it is not solved, or did not solve this one."""
        if record.solution is None:
            return None
        try:
            table = read_table(objects, record.solution.table, SolvedTable, record.solution.digest)
        except DamagedProduct:
            return None
        rows = np.flatnonzero(table.id == exposure_id)
        if not len(rows) or not np.isfinite(table.move_px[rows[0]]):
            return None
        row = int(rows[0])
        own = table.chip_owner == row
        return cls(
            table.pass_start[row],
            table.parameters[row],
            table.chip_start[own],
            table.chip_shift[own],
            int(table.n_used[row]),
        )

    def header_place(self, now: FloatArray, chip: IntArray) -> FloatArray:
        """Return where the header has what the pass began with at `now`, (n, 2) arcsec."""
        matrix = self.start[2:].reshape(2, 2)
        return (now - self.start[:2]) @ np.linalg.inv(matrix).T - _of(self.chip_start, chip)

    def end_place(self, header: FloatArray, chip: IntArray) -> FloatArray:
        """Return where the pass has put what the header has at `header`, (n, 2) arcsec."""
        matrix = self.end[2:].reshape(2, 2)
        return (header + _of(self.chip_end, chip)) @ matrix.T + self.end[:2]


def _of(shifts: FloatArray, chip: IntArray) -> FloatArray | float:
    return shifts[chip] if len(shifts) else 0.0


@dataclass(frozen=True, slots=True, eq=False)
class _Moved:
    """How far places of sources are moved, px of the chip: shapes (n, 2); NaN where not known.

    Parameters
    ----------
    to_header : float64
        From the WCS that was measured with to the input header's.
    to_end : float64
        To the corrected one.
    """

    to_header: FloatArray
    to_end: FloatArray

    @classmethod
    def of(
        cls, measured: Displacements, places: SourcePlaces, correction: _CorrectionOfPass | None
    ) -> _Moved:
        now = np.stack([places.x, places.y], axis=1)
        if correction is None:
            return cls(np.full(now.shape, np.nan), np.full(now.shape, np.nan))
        header = correction.header_place(now, measured.chip)
        end = correction.end_place(header, measured.chip)
        in_pixels = places.pixel_from_plane.astype(np.float64)

        def pixels(off: FloatArray) -> FloatArray:
            moved: FloatArray = (in_pixels @ off[:, :, None])[:, :, 0]
            return moved

        return cls(pixels(header - now), pixels(end - now))


def _residuals(measured: Displacements, places: SourcePlaces, moved: _Moved) -> SourceResiduals:
    return SourceResiduals(
        measured.source,
        measured.chip,
        measured.x,
        measured.y,
        np.stack([measured.dx, measured.dy], axis=1),
        moved.to_end,
        measured.own_covariance + measured.template_covariance,
        places.snr.astype(np.float64),
        measured.flags,
    )


def _cutouts(
    pixels: SourcePixels, residuals: SourceResiduals, moved: _Moved
) -> Iterator[SourceCutout]:
    """Yield the sources whose pixels are kept, in the order in which they are."""
    rows = {
        key: row
        for row, key in enumerate(
            zip(residuals.source.tolist(), residuals.chip.tolist(), strict=True)
        )
    }
    widths = pixels.widths
    for n in range(len(pixels)):
        one = pixels.select(np.array([n])).without_frames(widths[n])
        row = rows.get((int(one.source[0]), int(one.chip[0])))
        if row is None:  # pixels of another attempt: these numbers are not theirs
            continue
        blot = one.blot[0]
        header, end = ((float(x), float(y)) for x, y in (moved.to_header[row], moved.to_end[row]))
        yield SourceCutout(
            row,
            (int(one.corner_x[0]), int(one.corner_y[0])),
            one.cutout[0],
            blot,
            shifted_plane(blot, header),
            shifted_plane(blot, end) if np.isfinite(end).all() else blot,
            one.correlation[0],
            one.model[0] if one.model.size else None,
            header,
        )


def _worst_first(residuals: SourceResiduals, cutouts: Iterator[SourceCutout]) -> list[SourceCutout]:
    """Return cutouts by what the fit leaves, in errors; those of rejected sources last."""
    sigma, fate = residuals.sigma, residuals.fate

    def order(one: SourceCutout) -> tuple[bool, float]:
        found = sigma[one.row]
        return fate[one.row] == REJECTED, -found if np.isfinite(found) else 0.0

    return sorted(cutouts, key=order)
