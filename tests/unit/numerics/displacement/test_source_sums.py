"""Sums beside seams and for kernels, against surfaces and plain products."""

from __future__ import annotations

import numpy as np

from alignsvc.domain.arrays import contiguous
from alignsvc.domain.geometry import Points
from alignsvc.numerics.displacement.fitting.seam_sums import pulls, seam_sums
from alignsvc.numerics.displacement.splines.spline import TemplateSpline
from alignsvc.numerics.displacement.splines.surface_sums import Boxes
from alignsvc.numerics.displacement.windows.kernel_sums import kernel_sums

SIDE, MARGIN, N = 13, 5, 4
ACROSS = SIDE + 2 * MARGIN
RNG = np.random.default_rng(4)
SHIFT = Points(*RNG.uniform(-2.5, 2.5, (2, N)))
SHIFTS = np.stack([SHIFT.x, SHIFT.y], axis=1)
PIXELS = RNG.normal(size=(N, SIDE, SIDE)).astype(np.float32)
WEIGHT = RNG.uniform(0.5, 2, PIXELS.shape).astype(np.float32)
WEIGHT[:, :3] = WEIGHT[:, :, -2:] = 0


def _spline() -> TemplateSpline:
    return TemplateSpline(RNG.normal(size=(N, ACROSS, ACROSS)).astype(np.float32))


def _products(rows: list[np.ndarray], columns: list[np.ndarray]) -> np.ndarray:
    """Weighted sums of all rows times all columns, shape (n, rows, columns)."""
    left, right = (np.stack(planes, axis=1).astype(float) for planes in (rows, columns))
    return np.asarray(np.einsum("niyx,nyx,njyx->nij", left, WEIGHT.astype(float), right))


def _planes(spline: TemplateSpline) -> list[np.ndarray]:
    planes = spline.shifted(SHIFT, SIDE).planes
    return [planes[:, k] for k in range(4)]


def test_what_differs_across_a_seam_goes_with_the_variance_over_its_mean() -> None:
    instrument, template, wider = (_spline() for _ in range(3))
    variance = RNG.uniform(1, 2, PIXELS.shape).astype(np.float32)
    variance[:, 5:7] = 0  # holes

    splines = instrument.rows, template.rows, wider.rows
    found = seam_sums(SHIFTS, splines, Boxes.of(PIXELS, WEIGHT), variance)

    own, theirs = _planes(instrument), _planes(template)
    power = WEIGHT * theirs[2] ** 2 * (variance > 0)
    mean = np.sum(power * variance, axis=(1, 2)) / np.sum(power, axis=(1, 2))
    uneven = np.where(variance > 0, variance / mean[:, None, None] - 1, 0)
    broader = wider.values(SHIFT, SIDE) - own[2]
    differences = [broader, uneven * own[2], uneven * broader]
    wanted = _products([*own, *differences], [*theirs, PIXELS, *differences])
    np.testing.assert_allclose(found, wanted, rtol=1e-3, atol=3e-3)


def test_equations_of_a_kernel_are_products_of_its_parts() -> None:
    matched, plain, *parts = (_spline() for _ in range(5))

    found = kernel_sums(
        SHIFTS,
        (matched.rows, plain.rows),
        tuple(part.rows for part in parts),
        Boxes.of(PIXELS, WEIGHT),
    )

    own, values = _planes(matched), [part.values(SHIFT, SIDE) for part in parts]
    columns = [*own, PIXELS, *values, *_planes(plain)[:2]]
    np.testing.assert_allclose(found, _products([*own, *values], columns), rtol=1e-3, atol=3e-3)


def test_a_weight_that_grows_to_one_side_pulls_there() -> None:
    """By sigma^2 times its relative slope; a hole in it alone does nothing."""
    side, sigma = 31, 2.0
    weight = 1 + 0.02 * (np.arange(side) - 15.0)
    variance = np.broadcast_to(1 / weight, (3, side, side)).astype(np.float32)
    variance = contiguous(variance * np.array([1, 1, 0], np.float32)[:, None, None])
    even = np.ones((1, side, side), np.float32)
    even[:, :, 17:] = 0
    place, widths = np.full((3, 2), 15.0), np.full(3, sigma)
    np.testing.assert_allclose(pulls(variance, place, widths), [0.08, 0.08, 0], rtol=1e-3)
    assert pulls(even, place[:1], widths[:1])[0] < 1e-6
