"""Settings of the input images: valid by construction."""

from __future__ import annotations

import math
import pickle

import pytest
from exposure_samples import PLAIN

from alignsvc.domain.digest import digest_of
from alignsvc.errors import ConfigError
from alignsvc.io.image_settings import GroupByKeyword, GroupByPath, ImageSettings, Sidecar, grouping


def test_capitals_mean_a_keyword_and_anything_else_a_pattern() -> None:
    assert grouping(None) is None
    assert grouping("EXPNUM") == GroupByKeyword("EXPNUM")
    assert grouping(r"exp(\d+)") == GroupByPath(r"exp(\d+)")
    with pytest.raises(ConfigError, match="regular expression"):
        grouping("(")


def test_only_the_file_name_is_replaced_in_a_sidecars_path() -> None:
    assert Sidecar("ooi", "oow").path_for("/ooi/c_ooi_z.fits") == "/ooi/c_oow_z.fits"
    assert Sidecar("ooi", "oow").path_for("/ooi/other.fits") is None


@pytest.mark.parametrize(
    ("build", "said"),
    [
        (lambda: Sidecar("", "x"), "science file itself"),
        (lambda: Sidecar("a/b", "x"), "slash"),
        (lambda: ImageSettings(science=()), "empty"),
        (lambda: ImageSettings(mask_bits="some"), "flag values wanted"),
        (lambda: ImageSettings(mask_bits=(1, 3)), "3 in the list"),
        (lambda: ImageSettings(mask_bits=-1), "not negative"),
        (lambda: ImageSettings(gain=0.0), "positive"),
        (lambda: ImageSettings(saturation=math.nan), "finite"),
    ],
)
def test_settings_that_mean_nothing_are_refused(build: object, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        build()  # type: ignore[operator]


def test_settings_are_part_of_a_tasks_identity() -> None:
    settings = ImageSettings(weight=Sidecar("a", "b"), science=(("SCI", 1), ("SCI", 2)))
    travelled = pickle.loads(pickle.dumps(settings))  # noqa: S301
    assert digest_of(settings) == digest_of(travelled)
    assert digest_of(settings) != digest_of(PLAIN)
