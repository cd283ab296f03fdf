"""One exposure as its last measured pass left it: residuals of all sources, pixels of the worst.

Read from what the run keeps for people under ``history/`` and from the table of its solve: neither
inputs nor the mosaic are needed, so that it works wherever the run's store is.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from alignsvc.config.load import parse_config
from alignsvc.config.schema import Config
from alignsvc.domain.arrays import Float32Array, FloatArray, IntArray
from alignsvc.domain.measurement import Displacements
from alignsvc.domain.quality import FLAG_TEXT, DisplacementFlag
from alignsvc.errors import AlignError, DamagedProduct
from alignsvc.io.journal_store import Journal
from alignsvc.io.locations import CONFIG
from alignsvc.io.objects import ObjectStore
from alignsvc.io.tables import read_table
from alignsvc.numerics.displacement.source_pixels import SourcePixels
from alignsvc.numerics.displacement.splines.shifted_planes import shifted_plane
from alignsvc.numerics.displacement.worst_sources import significance
from alignsvc.run.planning.outlines import find_outlines
from alignsvc.run.records.identity import fingerprints_among
from alignsvc.run.records.state import PassRecord, RunState, fold
from alignsvc.run.seeing.corrections_at_sources import (
    CorrectionOfPass,
    SourcesMoved,
    find_solved,
)
from alignsvc.run.seeing.shared_offsets import (
    MOST_OTHERS,
    SharedOffsets,
    find_shared_offsets,
    own_offsets,
)
from alignsvc.run.stages.history import kept_folders
from alignsvc.tasks.diagnostics import DISPLACEMENTS, PIXELS, PLACES, SourcePlaces

#: What became of a source: these words stand in the JSON, too.
IN_THE_FIT, HELD_OUT, REJECTED = "in the fit", "held out", "rejected"
_NO_PIXELS = "no pixels are kept of it: output.diagnostics_mb has no room, or they were not made"
#: What residuals are where sources are placed by a model.
_CATALOGUE = (
    "sources placed by a model are compared with the catalogue's places, less what the nearest "
    f"{MOST_OTHERS} other exposures see off as well"
)
_NOT_SOLVED = (
    "pass {} has no solution yet: no correction is taken off, nor what others see off as well"
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
        mosaic of the others; of sources placed by a model, to the catalogue's. NaN where it could
        not be measured.
    fitted_px : float64, shape (n, 2)
        What the correction of this pass adds there; NaN while the pass is not solved.
    shared_px : float64, shape (n, 2)
        What other exposures see off as well (`SharedOffsets`), where places are compared with the
        catalogue's; NaN if none of them sees the source. 0 where the mosaic of the others is.
    covariance_px2 : float64, shape (n, 3)
        xx, xy, yy of the residual: of the exposure's noise, and that of what it is compared with.
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
    shared_px: FloatArray
    covariance_px2: FloatArray
    snr: FloatArray
    flags: IntArray

    @property
    def residual_px(self) -> FloatArray:
        """The displacement less what the correction adds, once it is known, and what is shared."""
        return self.measured_px - np.nan_to_num(self.fitted_px) - self.shared_px

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
    kept = find_kept_detail(objects, exposure_id, state)
    if kept is not None:
        return kept
    return ExposureDetail(exposure_id, missing=(_why_nothing(objects, exposure_id, state),))


def find_kept_detail(
    objects: ObjectStore, exposure_id: str, state: RunState
) -> ExposureDetail | None:
    """Return an exposure as the last pass measured it whose displacements are kept; or None."""
    for record, folder in zip(reversed(state.passes), _folders(state), strict=True):
        if objects.exists(f"{folder}{exposure_id}{DISPLACEMENTS}"):
            return _measured_in(objects, record, folder, exposure_id)
    return None


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
    config = _stored_config(objects)
    return "" if config is None else config.output.history


def _stored_config(objects: ObjectStore) -> Config | None:
    content = objects.find(CONFIG)
    if content is None:
        return None
    try:
        return parse_config(content.decode(), CONFIG)
    except AlignError:  # of another version: what it says is not known
        return None


def _measured_in(
    objects: ObjectStore, record: PassRecord, folder: str, name: str
) -> ExposureDetail:
    """Return an exposure as a pass measured it, which keeps its files in a folder."""
    stem = folder + name
    missing: list[str] = []
    try:
        measured = read_table(objects, stem + DISPLACEMENTS, Displacements)
        places = read_table(objects, stem + PLACES, SourcePlaces)
    except DamagedProduct as error:
        why = f"its displacements cannot be read, or another version of alignsvc left them: {error}"
        return ExposureDetail(name, record.number, missing=(why,))
    table = find_solved(objects, record)
    correction = None if table is None else CorrectionOfPass.of(table, name)
    if correction is None:
        missing.append(_NOT_SOLVED.format(record.number))
    moved = SourcesMoved.of(measured, places, correction)
    residuals = _against_others(measured, places, moved)
    config = _stored_config(objects)
    if table is not None and config is not None and config.alignment.method.name == "model":
        missing.append(_CATALOGUE)
        solved = (table, find_outlines(objects))
        shared = find_shared_offsets(objects, folder, (name, measured.source), solved)
        residuals = _against_catalogue(residuals, measured, places, shared)
    cutouts: tuple[SourceCutout, ...] = ()
    try:
        pixels = read_table(objects, stem + PIXELS, SourcePixels)
        cutouts = tuple(_worst_first(residuals, _cutouts(pixels, residuals, moved)))
    except DamagedProduct as error:
        if objects.exists(stem + PIXELS):
            missing.append(f"its pixels cannot be read: {error}")
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


def _against_others(
    measured: Displacements, places: SourcePlaces, moved: SourcesMoved
) -> SourceResiduals:
    """Return residuals of displacements to the mosaic of the others."""
    return SourceResiduals(
        measured.source,
        measured.chip,
        measured.x,
        measured.y,
        np.stack([measured.dx, measured.dy], axis=1),
        moved.to_end,
        np.zeros_like(moved.to_end),
        measured.own_covariance + measured.template_covariance,
        places.snr.astype(np.float64),
        measured.flags,
    )


def _against_catalogue(
    residuals: SourceResiduals,
    measured: Displacements,
    places: SourcePlaces,
    shared: SharedOffsets,
) -> SourceResiduals:
    """Return residuals of offsets from the catalogue's places, less what others see as well."""
    in_pixels = places.pixel_from_plane.astype(np.float64)
    pixels_per_area = np.abs(np.linalg.det(in_pixels))
    variance = shared.variance_arcsec2 * pixels_per_area
    both_axes = np.stack([variance, np.zeros_like(variance), variance], axis=1)
    return replace(
        residuals,
        measured_px=own_offsets(measured),
        shared_px=(in_pixels @ shared.offset_arcsec[:, :, None])[:, :, 0],
        covariance_px2=measured.own_covariance + both_axes,
    )


def _cutouts(
    pixels: SourcePixels, residuals: SourceResiduals, moved: SourcesMoved
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
