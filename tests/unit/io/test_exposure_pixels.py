"""Pixels, masks and variances as algorithms see them."""

from __future__ import annotations

import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from exposure_samples import (
    PLAIN,
    SHAPE,
    image,
    inspected,
    loaded,
    pixels_of,
    sidecar_settings,
    write,
)

from alignsvc.errors import DataError
from alignsvc.io.exposure_pixels import read_exposure, variance_from
from alignsvc.io.image_settings import ImageSettings, WeightType
from alignsvc.reasons import FailureKind


@pytest.mark.parametrize(
    ("science", "names"),
    [
        (2, ["N2,1"]),
        ("n1", ["N1,1"]),
        (("N2", 1), ["N2,1"]),
        ((("N2", 1), ("N1", 1)), ["N2,1", "N1,1"]),
        ((2, 1), ["N2,1", "N1,1"]),
    ],
)
def test_science_is_chosen_by_index_name_or_name_and_version(
    tmp_path: Path, science: object, names: list[str]
) -> None:
    path = write(tmp_path / "a.fits", image(pixels_of(1), "N1"), image(pixels_of(2), "N2"))
    settings = ImageSettings(science=science)  # type: ignore[arg-type]
    assert [chip.name for chip in inspected(path, settings).ref.chips] == names


@pytest.mark.parametrize(
    ("weight_type", "weight", "variance"),
    [
        (WeightType.WEIGHT, 0.25, 4.0),
        (WeightType.VARIANCE, 3.0, 3.0),
        (WeightType.RMS, 3.0, 9.0),
    ],
)
def test_each_type_of_weight_becomes_a_variance(
    weight_type: WeightType, weight: float, variance: float
) -> None:
    weights = np.array([[weight, 0.0, -1.0, np.nan, np.inf]], np.float32)
    before = weights.copy()
    got, bad = variance_from(weights, weight_type)
    np.testing.assert_array_equal(bad, [[False, True, True, True, True]])
    np.testing.assert_allclose(got, [[variance, 0, 0, 0, 0]])
    np.testing.assert_array_equal(weights, before)


def test_bad_pixels_hold_zero_and_saturated_ones_are_named(tmp_path: Path) -> None:
    values = pixels_of()
    values[0, :3] = [np.nan, np.inf, 500.0]
    values[1, 1] = 499.0
    chip = loaded(write(tmp_path / "a.fits", image(values, SATURATE=500.0))).chips[0]
    np.testing.assert_array_equal(np.argwhere(chip.mask), [[0, 0], [0, 1], [0, 2]])
    np.testing.assert_array_equal(np.argwhere(chip.saturated), [[0, 1], [0, 2]])
    np.testing.assert_array_equal(chip.pixels, np.where(chip.mask, 0, values))
    assert not chip.pixels.flags.writeable and not chip.mask.flags.writeable
    assert chip.pixels.dtype == np.float32 and chip.variance is None


def test_only_the_chosen_flags_mask(tmp_path: Path) -> None:
    dq = np.zeros(SHAPE, np.int32)
    dq[0, :3] = [1, 2, 6]
    path = write(tmp_path / "a.fits", image(pixels_of(), "SCI"), image(dq, "DQ"))
    for bits, wanted in (("all", [0, 1, 2]), (4, [2]), ((1, 4), [0, 2]), (0, [])):
        chip = loaded(path, ImageSettings(mask_bits=bits)).chips[0]  # type: ignore[arg-type]
        assert np.nonzero(chip.mask[0])[0].tolist() == wanted


def test_a_pixel_without_weight_is_masked(tmp_path: Path) -> None:
    weights = np.full(SHAPE, 0.5, np.float32)
    weights[2, 2] = 0.0
    write(tmp_path / "a_w.fits", image(weights))
    chip = loaded(write(tmp_path / "a_i.fits", image(pixels_of())), sidecar_settings()).chips[0]
    assert chip.variance is not None
    assert chip.mask.sum() == 1 and chip.mask[2, 2]
    assert (chip.variance[~chip.mask] == 2.0).all()


def test_a_reference_is_small_and_travels(tmp_path: Path) -> None:
    header = inspected(write(tmp_path / "a.fits", image(pixels_of())))
    travelled = pickle.loads(pickle.dumps(header.ref))  # noqa: S301
    assert travelled == header.ref
    assert len(pickle.dumps(header.ref)) < 400 + len(str(tmp_path))
    np.testing.assert_array_equal(read_exposure(travelled, PLAIN).chips[0].pixels, pixels_of())


def test_the_fingerprint_is_of_the_headers_and_sizes_of_all_files(tmp_path: Path) -> None:
    path = write(tmp_path / "a_i.fits", image(pixels_of()))
    weight = write(tmp_path / "a_w.fits", image(np.ones(SHAPE, np.float32)))
    first = inspected(path, sidecar_settings()).ref
    moved = tmp_path / "elsewhere"
    moved.mkdir()
    for name in (path.name, weight.name):
        shutil.copy(tmp_path / name, moved / name)
    assert inspected(moved / path.name, sidecar_settings()).ref.fingerprint == first.fingerprint
    fits.setval(weight, "NOTE", value="edited", ext=1)
    assert inspected(path, sidecar_settings()).ref.fingerprint != first.fingerprint
    with pytest.raises(DataError, match="changed after the run was planned") as caught:
        read_exposure(first, sidecar_settings())
    assert caught.value.kind is FailureKind.CHANGED


def test_chips_with_other_flux_scales_are_told_of(tmp_path: Path) -> None:
    hdus = [image(pixels_of(), "SCI", k, EXPTIME=10.0 * k) for k in (1, 2)]
    assert any(
        "flux scales" in text for text in inspected(write(tmp_path / "a.fits", *hdus)).warnings
    )
