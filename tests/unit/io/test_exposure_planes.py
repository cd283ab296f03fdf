"""Which HDU is the science, the weight, the mask."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from astropy.io import fits
from exposure_samples import (
    PLAIN,
    SHAPE,
    candidate,
    image,
    inspected,
    loaded,
    pixels_of,
    sidecar_settings,
    write,
)

from alignsvc.io.exposure_headers import inspect_exposure
from alignsvc.io.exposure_pixels import read_exposure
from alignsvc.io.image_settings import ImageSettings, WeightType


def test_planes_named_sci_err_dq_are_used_without_being_asked_for(tmp_path: Path) -> None:
    dq = np.zeros(SHAPE, np.int16)
    dq[3, 4] = 64
    err = np.full(SHAPE, 2.0, np.float32)
    hdus = [
        image(values.copy(), name, version)
        for version in (1, 2)
        for name, values in (("SCI", pixels_of(version)), ("ERR", err * version), ("DQ", dq))
    ]
    exposure = loaded(write(tmp_path / "a.fits", *hdus))
    assert [chip.name for chip in exposure.chips] == ["SCI,1", "SCI,2"]
    for version, chip in enumerate(exposure.chips, start=1):
        assert chip.variance is not None
        assert chip.variance[0, 0] == (2.0 * version) ** 2
        assert chip.mask.sum() == 1 and chip.mask[3, 4] and chip.pixels[3, 4] == 0.0


def test_without_sci_every_plane_with_a_wcs_is_a_chip(tmp_path: Path) -> None:
    path = write(
        tmp_path / "a.fits",
        image(pixels_of(1), "N1"),
        image(pixels_of(2), "N2"),
        fits.ImageHDU(pixels_of(3)),
        image(np.ones(SHAPE, np.float32), "WHT"),
        image(np.ones((2, *SHAPE), np.float32), "CUBE"),
    )
    assert [chip.name for chip in inspected(path).ref.chips] == ["N1,1", "N2,1"]


def test_a_weight_extension_goes_by_the_version_of_its_science(tmp_path: Path) -> None:
    hdus = [
        image(values, name, version)
        for version in (1, 2)
        for name, values in (
            ("SCI", pixels_of(version)),
            ("W", np.full(SHAPE, 1.0 / version, np.float32)),
        )
    ]
    settings = ImageSettings(weight="W", weight_type=WeightType.WEIGHT)
    chips = loaded(write(tmp_path / "a.fits", *hdus), settings).chips
    assert [float(chip.variance[0, 0]) for chip in chips if chip.variance is not None] == [1, 2]


def test_a_sidecars_hdu_is_found_by_name_then_index_then_shape(tmp_path: Path) -> None:
    ones = np.ones(SHAPE, np.float32)
    path = write(tmp_path / "a_i.fits", image(pixels_of(), "N3"))
    other = image(ones, "N4")
    small = image(ones[:3], "X")

    def weight_hdu(*hdus: fits.ImageHDU) -> int:
        (tmp_path / "a_w.fits").unlink(missing_ok=True)
        write(tmp_path / "a_w.fits", *hdus)
        weight = inspected(path, sidecar_settings()).ref.chips[0].weight
        assert weight is not None and weight.uri == str(tmp_path / "a_w.fits")
        return weight.hdu

    assert weight_hdu(other, image(ones, "N3")) == 2
    assert weight_hdu(other, image(ones, "N5")) == 1
    assert weight_hdu(small, other) == 2


def test_a_grouped_exposure_has_the_chips_of_all_its_files(tmp_path: Path) -> None:
    paths = [write(tmp_path / f"{k}.fits", image(pixels_of(k), "SCI")) for k in (1, 2)]
    header = inspect_exposure(candidate(*paths), PLAIN)
    assert [chip.name for chip in header.ref.chips] == ["1.fits[SCI,1]", "2.fits[SCI,1]"]
    exposure = read_exposure(header.ref, PLAIN)
    np.testing.assert_array_equal(exposure.chips[1].pixels, pixels_of(2))
