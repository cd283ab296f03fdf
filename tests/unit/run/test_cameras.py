"""Which exposures have their chips in common, and what an offset does to them."""

from __future__ import annotations

import numpy as np
import pytest

from alignsvc.domain.chip_shifts import ChipShifts
from alignsvc.domain.correction import Correction, Geometry
from alignsvc.domain.exposure import ChipRef, ExposureRef, HduRef
from alignsvc.domain.geometry import Points, TangentPlane
from alignsvc.io.exposure_headers import ExposureHeader
from alignsvc.run.planning.plan import PlannedExposure
from alignsvc.run.reducer.cameras import cameras_of, chip_jacobians
from alignsvc.run.reducer.chips import offsets_px
from alignsvc.simulation.layouts import Pointing
from alignsvc.simulation.optics import celestial_wcs, true_headers
from alignsvc.simulation.settings import CameraSettings

FOUR = CameraSettings(shape=(120, 100), chips=(2, 2), gap_px=20.0)


def exposure(name: str, camera: CameraSettings, angle_deg: float = 0.0) -> PlannedExposure:
    pointing = Pointing(150.0, 2.0, angle_deg)
    n_chips = camera.chips[0] * camera.chips[1]
    headers = true_headers(camera, pointing, np.zeros(n_chips))
    wcs = tuple(celestial_wcs(header, camera.shape) for header in headers)
    chips = tuple(
        ChipRef(f"SCI,{k + 1}", HduRef("a.fits", k), camera.shape) for k in range(n_chips)
    )
    header = ExposureHeader(ExposureRef(name, chips, ""), wcs, ())
    return PlannedExposure(header, 0, TangentPlane(150.0, 2.0))


def test_exposures_of_one_camera_share_its_chips_however_it_is_turned() -> None:
    wide = CameraSettings(shape=(120, 100), chips=(2, 2), gap_px=60.0)
    single = CameraSettings(shape=(120, 100))
    members = [
        exposure("a", FOUR),
        exposure("b", single),
        exposure("c", wide),
        exposure("d", FOUR, 170.0),
    ]
    found = cameras_of(members)
    assert found.first_column.tolist() == [0, -1, 4, 0]
    assert found.n_chips == 8
    assert found.name(1) == "SCI,2"
    assert not found.are_single
    assert cameras_of(members[1:2]).are_single


def test_an_offset_is_the_same_number_of_pixels_in_a_camera_that_is_turned() -> None:
    offset = np.array([0.4, -0.3])
    for angle in (0.0, 37.0, 180.0):
        one = exposure("a", FOUR, angle)
        wcs = one.header.wcs[2]
        moved = chip_jacobians(one)[2] @ offset
        plane = one.plane.from_sky(wcs.centre())
        there = one.plane.to_sky(Points(plane.x + moved[0], plane.y + moved[1]))
        pixel = wcs.pixel_from_sky(there)
        assert float(pixel.x) - 49.5 == pytest.approx(0.4, abs=1e-6)
        assert float(pixel.y) - 59.5 == pytest.approx(-0.3, abs=1e-6)
        shifts = ChipShifts(np.tile(moved, (4, 1)), np.zeros((4, 6, 6)))
        assert np.allclose(offsets_px(one, shifts)[2], offset)


def test_the_total_of_a_chip_is_its_shift_and_then_the_exposures_correction() -> None:
    plane = TangentPlane(150.0, 2.0)
    total = Correction(
        plane, np.array([[1.001, 2e-3], [-2e-3, 0.999]]), np.array([0.5, -0.2]), Geometry.GENERAL,
        np.zeros((6, 6)),
    )  # fmt: skip
    shifts = ChipShifts(np.array([[0.1, 0.2], [-0.3, 0.0]]), np.zeros((2, 6, 6)))
    for shift, own in zip(shifts.plain, shifts.totals(total), strict=True):
        found = own.apply(Points(3.0, -4.0))
        wanted = total.apply(Points(3.0 + shift[0], -4.0 + shift[1]))
        assert (found.x, found.y) == pytest.approx((wanted.x, wanted.y), abs=1e-12)
