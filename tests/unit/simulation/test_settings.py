"""Settings from YAML: valid by construction, and helpful when they are not."""

from pathlib import Path

import pytest
import yaml

from alignsvc.errors import ConfigError
from alignsvc.simulation.distortions.tpv import TpvDistortion
from alignsvc.simulation.layouts.dither import Dither
from alignsvc.simulation.reading_settings import sky_settings
from alignsvc.simulation.settings import SkySettings

CONFIGS = sorted((Path(__file__).resolve().parents[3] / "configs/simulations").glob("*.yaml"))


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_configuration_that_comes_with_the_project_is_valid(path: Path) -> None:
    settings = sky_settings(yaml.safe_load(path.read_text()))
    assert settings.layout.n_exposures >= 2


def test_nothing_given_is_a_valid_simulation() -> None:
    assert sky_settings({}) == SkySettings()


def test_values_arrive_in_their_fields() -> None:
    settings = sky_settings(
        {
            "layout": {"name": "dither", "count": 3},
            "camera": {"shape": [64, 128], "distortion": {"name": "tpv", "amplitude_px": 2}},
            "planes": ["err"],
        }
    )
    assert settings.layout == Dither(count=3)
    assert settings.camera.shape == (64, 128)
    assert settings.camera.distortion == TpvDistortion(amplitude_px=2)
    assert settings.planes == ("err",)


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        ({"sed": 1}, "unknown key 'sed'; did you mean 'seed'"),
        ({"camera": {"scale": 1}}, "unknown key 'camera.scale'; did you mean 'scale_arcsec'"),
        ({"layout": {"name": "stak"}}, "did you mean 'stack'"),
        ({"layout": {"name": "stack", "cuont": 2}}, "did you mean 'count'"),
        (
            {"layout": {"name": "stack", "count": "many"}},
            "setting count: found 'many', wanted a whole number",
        ),
        ({"layout": "stack"}, "must be a mapping with a name"),
        ({"camera": {"shape": [64]}}, "camera.shape is"),
        ({"camera": {"scale_arcsec": -1}}, "scale_arcsec is -1"),
        ({"conditions": {"fwhm_arcsec": [2, 1]}}, "low <= high"),
        ({"planes": ["er"]}, "did you mean 'err'"),
        ({"camera": 3}, "camera must be a mapping"),
    ],
)
def test_a_wrong_key_or_value_is_named(mapping: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        sky_settings(mapping)
