"""Two ways to say the same are one configuration, and so one run."""

import pytest

from alignsvc.config.load import dump_config, parse_config
from alignsvc.config.resolved import resolved
from alignsvc.run.records.identity import setting_parts

MINIMAL = "images: {paths: ['a.fits']}"


@pytest.mark.parametrize(
    "override",
    [
        "alignment.method.correlation=ncc",
        "alignment.method={name: correlate, correlation: ncc, refine: true}",
        "alignment.max_iterations=[10, 2]",
        "images.sky.box=128",
        "mosaic.resampler={name: drizzle, kernel: turbo, pixfrac: 1}",
        "alignment.bootstrap_radius=500",
    ],
)
def test_a_default_that_is_written_down_makes_no_other_run(override: str) -> None:
    silent, said = (resolved(parse_config(MINIMAL, "x.yaml", more)) for more in ((), (override,)))
    assert said == silent
    assert list(setting_parts(said)) == list(setting_parts(silent))


@pytest.mark.parametrize(
    ("override", "key"),
    [
        ("alignment.method.correlation=cc", "alignment.method"),
        ("alignment.max_iterations=[10, 3]", "alignment.max_iterations"),
        ("images.sky.box=64", "images.sky"),
        ("mosaic.resampler.pixfrac=0.5", "mosaic.resampler"),
    ],
)
def test_another_setting_makes_another_run(override: str, key: str) -> None:
    one, other = (
        dict(setting_parts(resolved(parse_config(MINIMAL, "x.yaml", more))))
        for more in ((), (override,))
    )
    assert [name for name in one if one[name] != other[name]] == [key]


@pytest.mark.parametrize("method", ["correlate", "centroid", "model", "both"])
def test_what_is_resolved_is_stored_whole_and_stays_so(method: str) -> None:
    config = resolved(parse_config(MINIMAL, "x.yaml", (f"alignment.method={method}",)))
    stored = dump_config(config)
    assert resolved(parse_config(stored, "y.yaml")) == config
    assert "pixfrac: 1.0" in stored and "box: 128" in stored
    assert ("correlation: ncc" in stored) == (method != "centroid")
