"""What the noise of one realisation does to everybody, and what a run adds to it.

The estimator at the bound, on the very pixels of a simulated set: it knows the profile, flux and
place of each source and the light of all others, and takes one step of least squares from the
truth (x, y, flux and a background of each source; then one correction for each exposure, places
unknown). Its misalignment is as large as the bound in the mean, but not in each set: the ratio of
a set with n degrees of freedom scatters by ``1 / sqrt(2 n)``, by a quarter for four exposures of
geometry rshift. A run has that error, and its own besides, independent of it (or a combination of
both would be better than the best). So where the ratio of one run tells luck from fault badly,
what is between the run and this estimator tells it well.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from astropy.io import fits
from simulated_cases import Aligned

from alignsvc.domain.arrays import FloatArray
from alignsvc.domain.correction import Geometry
from alignsvc.domain.geometry import Points, TangentPlane
from alignsvc.numerics.sky.corrected import corrected
from alignsvc.simulation.bound import JointCovariance, Sighting, joint_covariance
from alignsvc.simulation.coverage import CoveredPoints, covered_points
from alignsvc.simulation.evaluate import offsets
from alignsvc.simulation.fisher import position_information
from alignsvc.simulation.render import galaxy_half, galaxy_values, stamp_halves, star_gradients
from alignsvc.simulation.scene import Scene, expected_electrons, scene_of
from alignsvc.simulation.truth import ChipTruth, ExposureTruth, Truth, from_json

#: As for the bound: light below this part of the noise tells nothing, nor does what is farther.
_EDGE_OF_NOISE, _LARGEST_HALF = 0.1, 36
_STEP_PX = 1e-3


@dataclass(frozen=True)
class Compared:
    """Local rms over the bound.

    Parameters
    ----------
    best : float
        Of the estimator at the bound: 1, give or take what its degrees of freedom say.
    apart : float
        Of what is between a run and that estimator: what the run adds.
    """

    best: float
    apart: float


def compared(aligned: Aligned, geometry: Geometry) -> Compared:
    """Return a run of one chip an exposure beside the estimator at the bound."""
    truth = from_json((aligned.sky / "truth.json").read_text(encoding="utf-8"))
    (covered,) = covered_points(truth.exposures, range(len(truth.exposures)))
    rows = {row.id: row for row in aligned.result.corrections}
    wcs = {}
    for exposure in truth.exposures:
        total = rows[exposure.id].correction
        assert total is not None
        wcs[exposure.id] = [corrected(exposure.chips[0].given_wcs, total)]
    scale = aligned.judged["bound_local_px"] * covered.scale_arcsec[:, None]
    run = covered.less_local_mean(offsets(truth, covered, wcs)) / scale
    best = covered.less_local_mean(_best_field(truth, covered, aligned.sky, geometry)) / scale
    return Compared(_rms(best), _rms(run - best))


def _rms(field: FloatArray) -> float:
    return float(np.sqrt(np.mean(field**2)))


def _best_field(
    truth: Truth, covered: CoveredPoints, folder: Path, geometry: Geometry
) -> FloatArray:
    """Return where the best corrections put the points less the truth, shape (n, 2), arcsec."""
    sightings, errors = [], []
    for number in covered.exposures:
        sighting, error = _seen(truth, truth.exposures[number], covered.plane, folder)
        sightings.append(sighting)
        errors.append(error)
    joint = joint_covariance(sightings, geometry)
    assert joint is not None
    parameters = joint.covariance @ _right_hand_side(sightings, errors, joint)
    return -joint.design(covered.exposure, covered.place) @ parameters


def _right_hand_side(
    sightings: list[Sighting], errors: list[FloatArray], joint: JointCovariance
) -> FloatArray:
    """Return what the errors of places make of the normal equations, places eliminated."""
    sources = np.unique(np.concatenate([one.source for one in sightings]))
    total, mean = np.zeros((len(sources), 2, 2)), np.zeros((len(sources), 2))
    slots = [np.searchsorted(sources, one.source) for one in sightings]
    for slot, one, error in zip(slots, sightings, errors, strict=True):
        total[slot] += one.information
        mean[slot] += np.einsum("nij,nj->ni", one.information, error)
    mean = np.linalg.solve(total, mean[..., None])[..., 0]
    parts = []
    for number, (slot, one, error) in enumerate(zip(slots, sightings, errors, strict=True)):
        design = joint.own_design(np.full(len(slot), number), one.place)
        parts.append(np.einsum("nap,nab,nb->p", design, one.information, error - mean[slot]))
    return np.concatenate(parts)


def _seen(
    truth: Truth, exposure: ExposureTruth, plane: TangentPlane, folder: Path
) -> tuple[Sighting, FloatArray]:
    """Return what an exposure knows of places, and by how much its pixels have them wrong."""
    (chip,) = exposure.chips
    pixels = _Pixels.of(truth, exposure, chip, folder)
    scene = scene_of(truth.sources, exposure, chip.true_wcs, margin_px=0.0)
    usable = position_information(truth.sources, exposure, chip).index
    told = [
        (number, *found)
        for number in np.flatnonzero(np.isin(scene.index, usable)).tolist()
        if (found := pixels.step(scene, exposure, number)) is not None
    ]
    which = np.array([number for number, _, _ in told])
    information, error = (np.array([one[k] for one in told]) for k in (1, 2))
    at = Points(scene.pixel.x[which], scene.pixel.y[which])
    columns = []
    for dx, dy in ((0.5, 0.0), (0.0, 0.5)):
        ahead, behind = (
            plane.from_sky(chip.true_wcs.sky_from_pixel(Points(at.x + s * dx, at.y + s * dy)))
            for s in (1, -1)
        )
        columns.append(np.stack([ahead.x - behind.x, ahead.y - behind.y], axis=-1))
    to_plane = np.stack(columns, axis=-1)
    inverse = np.linalg.inv(to_plane)
    information = np.swapaxes(inverse, 1, 2) @ information @ inverse
    place = plane.from_sky(chip.true_wcs.sky_from_pixel(at))
    sighting = Sighting(scene.index[which], place, information)
    return sighting, np.einsum("nij,nj->ni", to_plane, error)


@dataclass(frozen=True)
class _Pixels:
    """Weight and noise of a chip's pixels, electrons, with a margin of nothing about them."""

    weight: FloatArray
    noise: FloatArray

    @staticmethod
    def of(truth: Truth, exposure: ExposureTruth, chip: ChipTruth, folder: Path) -> _Pixels:
        found = fits.getdata(folder / exposure.file, chip.hdu).astype(float) * exposure.gain
        expected = expected_electrons(truth.sources, exposure, chip)
        full = exposure.saturation * exposure.gain * (1.0 - 1e-6)
        good = np.isfinite(found) & (found < full)
        weight = good / (expected + exposure.read_noise**2)
        noise = np.where(good, found - expected, 0.0)
        return _Pixels(np.pad(weight, _LARGEST_HALF), np.pad(noise, _LARGEST_HALF))

    def step(
        self, scene: Scene, exposure: ExposureTruth, number: int
    ) -> tuple[FloatArray, FloatArray] | None:
        """Return information (2, 2) and error (2,) of a place, px; None if it is not told."""
        columns, half = _columns(scene, exposure, number)
        column, row = (
            math.floor(float(axis[number]) + 0.5) + _LARGEST_HALF
            for axis in (scene.pixel.x, scene.pixel.y)
        )
        window = np.s_[row - half : row + half + 1, column - half : column + half + 1]
        weighted = columns * self.weight[window].ravel()
        fisher, score = weighted @ columns.T, weighted @ self.noise[window].ravel()
        if np.diag(fisher)[:3].min() <= 0.0:
            return None
        scale = 1.0 / np.sqrt(np.diag(fisher))
        inverse = np.linalg.pinv(fisher * np.outer(scale, scale), rcond=1e-12, hermitian=True)
        inverse *= np.outer(scale, scale)
        return np.linalg.inv(inverse[:2, :2]), (inverse @ score)[:2]


def _columns(scene: Scene, exposure: ExposureTruth, number: int) -> tuple[FloatArray, int]:
    """Return d(stamp)/d(x, y), the light, and 1, shape (4, pixels), and the stamp's half side."""
    psf, shape = exposure.psf, scene.shapes[number]
    flux = float(scene.electrons[number])
    floor = _EDGE_OF_NOISE * math.sqrt(exposure.background_variance)
    at = Points(*(axis[number : number + 1] for axis in (scene.pixel.x, scene.pixel.y)))
    if shape is None:
        half = min(int(stamp_halves(psf, np.array([flux]), floor)[0]), _LARGEST_HALF)
        gradients = star_gradients(psf, at, half)
        light, d_x, d_y = gradients.stamps.values[0], gradients.d_x[0], gradients.d_y[0]
    else:
        half = min(galaxy_half(psf, shape, flux, floor), _LARGEST_HALF)
        x, y = (float(axis[0] - np.floor(axis[0] + 0.5)) for axis in (at.x, at.y))
        light, right, up = (
            galaxy_values(psf, shape, (x + dx, y + dy), half)
            for dx, dy in ((0.0, 0.0), (_STEP_PX, 0.0), (0.0, _STEP_PX))
        )
        d_x, d_y = (right - light) / _STEP_PX, (up - light) / _STEP_PX
    columns = (flux * d_x, flux * d_y, light, np.ones_like(light))
    return np.stack([one.ravel() for one in columns]), half
