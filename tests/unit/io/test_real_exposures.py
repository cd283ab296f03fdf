"""Real exposures, where their folder is beside the project."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from exposure_samples import PLAIN

from alignsvc.errors import DataError
from alignsvc.io.exposure_files import find_exposures
from alignsvc.io.exposure_headers import inspect_exposure
from alignsvc.io.exposure_pixels import read_exposure
from alignsvc.io.image_settings import ImageSettings, Sidecar, WeightType
from alignsvc.reasons import FailureKind

DATA = Path(__file__).resolve().parents[3] / "../shared/data"


SETS = [
    ("vircam_h", "*.fits", PLAIN, 4, "ZPN"),
    ("tn_rvi", "*.fits", PLAIN, 3, "TAN"),
    (
        "nircam_f200w",
        "*_stamp.fits",
        ImageSettings(weight=Sidecar(".fits", ".noise.fits"), weight_type=WeightType.RMS),
        2,
        "TAN",
    ),
    (
        "decam_sparse",
        "*.fits",
        ImageSettings(weight=Sidecar("ooi", "oow"), mask=Sidecar("ooi", "ood")),
        9,
        "TPV",
    ),
    ("decam_offset", "*.fits", PLAIN, 10, "TPV"),
    ("wcs_samples", "*.fits", PLAIN, 4, None),
]


def real(folder: str) -> Path:
    if not (DATA / folder).is_dir():
        pytest.skip(f"the folder of real exposures is not there: {DATA}")
    return DATA / folder


@pytest.mark.real_data
@pytest.mark.parametrize(("folder", "pattern", "settings", "count", "projection"), SETS)
def test_real_exposures_are_read(
    folder: str, pattern: str, settings: ImageSettings, count: int, projection: str | None
) -> None:
    found = find_exposures((str(real(folder) / pattern),), settings)
    assert len(found.candidates) == count and not found.failed
    for one in found.candidates:
        header = inspect_exposure(one, settings)
        exposure = read_exposure(header.ref, settings)
        (chip,) = exposure.chips
        assert np.isfinite(chip.pixels).all() and chip.mask.mean() < 0.05
        assert float(np.std(chip.pixels[~chip.mask])) > 0.0
        assert header.warnings == () and header.exposure_time_s > 1.0
        if projection is not None:
            assert chip.wcs.projection == projection
        assert (chip.variance is not None) == (settings.weight is not None)
        if chip.variance is not None:
            assert (chip.variance[~chip.mask] > 0.0).all()


@pytest.mark.real_data
def test_the_weight_maps_of_real_exposures_agree_with_their_noise() -> None:
    for folder, pattern, settings, *_ in SETS:
        if settings.weight is None:
            continue
        for one in find_exposures((str(real(folder) / pattern),), settings).candidates:
            (chip,) = read_exposure(inspect_exposure(one, settings).ref, settings).chips
            assert chip.variance is not None
            flat = ~(chip.mask[:, 1:] | chip.mask[:, :-1])
            steps = np.diff(chip.pixels, axis=1)[flat]
            noise = 1.4826 * np.median(np.abs(steps - np.median(steps))) / math.sqrt(2.0)
            told = math.sqrt(float(np.median(chip.variance[~chip.mask])))
            # Resampled pixels are smoother than their variance says.
            assert 0.2 < noise / told < 1.5, one.id


@pytest.mark.real_data
def test_a_mask_sidecar_of_a_real_exposure_is_used_and_an_absent_one_told() -> None:
    settings = ImageSettings(mask=Sidecar("_stamp.", "_stamp.mask4sfft."))
    one, other = find_exposures((str(real("nircam_f200w") / "*_stamp.fits"),), settings).candidates
    with pytest.raises(DataError) as caught:
        inspect_exposure(one, settings)
    assert caught.value.kind is FailureKind.NO_SIDECAR
    (chip,) = read_exposure(inspect_exposure(other, settings).ref, settings).chips
    assert 0.05 < chip.mask.mean() < 0.3


@pytest.mark.real_data
def test_real_frames_without_a_wcs_get_a_clear_error() -> None:
    for one in find_exposures((str(real("stargate_nowcs") / "*.fit"),), PLAIN).candidates:
        with pytest.raises(DataError, match="no image has a celestial WCS") as caught:
            inspect_exposure(one, PLAIN)
        assert caught.value.kind is FailureKind.NO_WCS
