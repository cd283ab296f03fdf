"""How well the pixels of one chip can tell where each source lies."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from alignsvc.domain.arrays import BoolArray, FloatArray, IntArray
from alignsvc.domain.geometry import Points
from alignsvc.simulation.profiles import GaussianMixture
from alignsvc.simulation.render import (
    GalaxyShape,
    galaxy_half,
    galaxy_values,
    stamp_halves,
    star_gradients,
)
from alignsvc.simulation.scene import Scene, scene_of
from alignsvc.simulation.sky import Sources
from alignsvc.simulation.truth import ChipTruth, ExposureTruth

#: Pixels whose light is below this part of the noise add nothing to a position.
_EDGE_OF_NOISE = 0.1
#: Half side of the largest window, px: the wings of a bright star hold no more than 1e-3.
_LARGEST_HALF = 36
#: Step of the forward differences of a galaxy, px: slopes are right to 1e-3, halfway between
#: rounding and curvature.
_STEP_PX = 1e-3
#: Stars whose stamps are held in memory at once.
_CHUNK = 256


@dataclass(frozen=True, slots=True, eq=False)
class PositionInformation:
    """Fisher information of the positions of the unsaturated sources on one chip.

    Parameters
    ----------
    index : int64, shape (n,)
        Where each source stands in the simulation's `Sources`.
    pixel : Points
        True positions, 0-based pixels.
    information : float64, shape (n, 2, 2)
        px^-2, of (x, y), with the flux and a constant background not known either.
    """

    index: IntArray
    pixel: Points
    information: FloatArray


def position_information(
    sources: Sources, exposure: ExposureTruth, chip: ChipTruth
) -> PositionInformation:
    """Return the information on the positions of sources whose centre is on the chip.

    Sources with a saturated pixel (by expectation) are left out. Neighbours' light is not
    counted as noise, and bad pixels and cosmic rays are not known here: the bound is that of
    a clean, uncrowded exposure.
    """
    scene = scene_of(sources, exposure, chip.true_wcs, margin_px=0.0)
    psf, floor = exposure.psf, _EDGE_OF_NOISE * math.sqrt(exposure.background_variance)
    information = np.zeros((len(scene.index), 2, 2))
    peak = np.zeros(len(scene.index))
    halves = np.minimum(stamp_halves(psf, scene.electrons, floor), _LARGEST_HALF)
    stars = ~scene.is_galaxy
    for half in np.unique(halves[stars]):
        group = np.flatnonzero(stars & (halves == half))
        for start in range(0, len(group), _CHUNK):
            some = group[start : start + _CHUNK]
            columns = _star_columns(psf, scene, some, int(half))
            information[some], peak[some] = _information(columns, exposure)
    for number in np.flatnonzero(~stars):
        shape = scene.shapes[number]
        assert shape is not None
        one = np.array([number])
        columns = _galaxy_columns(psf, shape, (scene, int(number)), floor)
        information[one], peak[one] = _information(columns, exposure)
    limit = (exposure.saturation - exposure.sky) * exposure.gain
    usable = (peak < limit) & (np.trace(information, axis1=1, axis2=2) > 0.0)
    pixel = Points(scene.pixel.x[usable], scene.pixel.y[usable])
    return PositionInformation(scene.index[usable], pixel, information[usable])


@dataclass(frozen=True, slots=True, eq=False)
class _Columns:
    """Stamps (n, side, side): light, its change per px, and which pixels are on the chip."""

    light: FloatArray
    d_x: FloatArray
    d_y: FloatArray
    on_chip: BoolArray


def _star_columns(psf: GaussianMixture, scene: Scene, some: IntArray, half: int) -> _Columns:
    where = Points(scene.pixel.x[some], scene.pixel.y[some])
    gradients = star_gradients(psf, where, half)
    flux = scene.electrons[some][:, None, None]
    stamps = gradients.stamps
    on_chip = _on_chip(scene.chip_shape, stamps.column, stamps.row, half)
    return _Columns(flux * stamps.values, flux * gradients.d_x, flux * gradients.d_y, on_chip)


def _galaxy_columns(
    psf: GaussianMixture, shape: GalaxyShape, which: tuple[Scene, int], floor: float
) -> _Columns:
    scene, number = which
    flux = float(scene.electrons[number])
    half = min(galaxy_half(psf, shape, flux, floor), _LARGEST_HALF)
    column = math.floor(scene.pixel.x[number] + 0.5)
    row = math.floor(scene.pixel.y[number] + 0.5)
    x, y = float(scene.pixel.x[number]) - column, float(scene.pixel.y[number]) - row
    h = _STEP_PX
    light, right, up = (
        flux * galaxy_values(psf, shape, (x + dx, y + dy), half)
        for dx, dy in ((0.0, 0.0), (h, 0.0), (0.0, h))
    )
    on_chip = _on_chip(scene.chip_shape, np.array([column]), np.array([row]), half)
    d_x, d_y = (right - light) / h, (up - light) / h
    return _Columns(light[None], d_x[None], d_y[None], on_chip)


def _on_chip(shape: tuple[int, int], column: IntArray, row: IntArray, half: int) -> BoolArray:
    ny, nx = shape
    steps = np.arange(-half, half + 1)
    x, y = column[:, None] + steps, row[:, None] + steps
    inside: BoolArray = ((y >= 0) & (y < ny))[:, :, None] & ((x >= 0) & (x < nx))[:, None, :]
    return inside


def _information(columns: _Columns, exposure: ExposureTruth) -> tuple[FloatArray, FloatArray]:
    """Return the information (n, 2, 2) and the brightest pixel (n,) of each stamp.

    The Fisher matrix of (x, y, flux, background) is the sum over pixels of the products of
    the model's derivatives over the variance (Gaussian noise of known variance); the Schur
    complement of its first block has the other two not known.
    """
    n = len(columns.light)
    variance = exposure.background_variance + columns.light
    weight = (columns.on_chip / variance).reshape(n, 1, -1)
    parts = (columns.d_x, columns.d_y, columns.light, np.ones_like(columns.light))
    design = np.stack([part.reshape(n, -1) for part in parts], axis=1)
    # The flux column in units of the source's own flux: its size changes nothing.
    fisher = (design * weight) @ np.swapaxes(design, 1, 2)
    scale = 1.0 / np.sqrt(np.maximum(np.einsum("nii->ni", fisher), 1e-300))
    scaled = fisher * scale[:, :, None] * scale[:, None, :]
    rest = np.linalg.pinv(scaled[:, 2:, 2:], rcond=1e-12, hermitian=True)
    schur = scaled[:, :2, :2] - scaled[:, :2, 2:] @ rest @ scaled[:, 2:, :2]
    information = schur / (scale[:, :2, None] * scale[:, None, :2])
    brightest = (columns.light * columns.on_chip).reshape(n, -1).max(axis=1)
    return information, brightest
