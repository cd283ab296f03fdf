"""Every mistake in a configuration is one sentence that names the key."""

from pathlib import Path

import pytest

from alignsvc.config.build import build_algorithms
from alignsvc.config.load import dump_config, load_config, parse_config
from alignsvc.domain.correction import Geometry
from alignsvc.errors import ConfigError
from alignsvc.numerics.solve.priors import Shape, ShapePrior

MINIMAL = "images: {paths: ['a.fits']}"


def test_only_the_paths_are_required() -> None:
    config = parse_config(MINIMAL, "x.yaml")
    assert config.alignment.geometry is Geometry.GENERAL
    assert config.alignment.eps_shift == 0.003
    assert config.cluster.backend == "local"


def test_what_is_dumped_reads_back_the_same() -> None:
    config = parse_config(MINIMAL, "x.yaml", ("mosaic.resampler.kernel=square",))
    assert parse_config(dump_config(config), "y.yaml") == config


def test_an_override_of_a_setting_keeps_the_default_plugin() -> None:
    config = parse_config(MINIMAL, "x.yaml", ("mosaic.resampler.kernel=square",))
    assert config.mosaic.resampler.name == "drizzle"
    assert config.mosaic.resampler.settings == {"kernel": "square"}


def test_a_plugin_may_be_given_by_its_name_alone() -> None:
    config = parse_config(MINIMAL + "\nmosaic: {resampler: exact}", "x.yaml")
    assert config.mosaic.resampler.name == "exact"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("imges: {paths: [a]}", "unknown key 'imges'; did you mean 'images'?"),
        ("run: {}", "'images' is required"),
        ("images: {paths: []}", "images.paths"),
        ("images: {paths: [a], weigth: 1}", "did you mean 'weight'?"),
        (MINIMAL + "\nalignment: {eps_shift: 0}", "alignment.eps_shift: Input should be greater"),
        (MINIMAL + "\nalignment: {eps_shift: -1}", "alignment.eps_shift: Input should be greater"),
        (MINIMAL + "\nalignment: {update: otf}", "belongs to solver 'independent'"),
        (MINIMAL + "\nalignment: {geometry: afine}", "alignment.geometry"),
        (MINIMAL + "\nalignment: {geometry: auto, solver: independent}", "the joint solution"),
        (MINIMAL + "\nalignment: {prior: {scale: 1, skew: own}}", "alignment.prior.skew"),
        (
            MINIMAL + "\nalignment: {prior: {scale: 1}, solver: independent}",
            "prior belongs to solver 'global'",
        ),
        (MINIMAL + "\nmosaic: {tile_shape: [0, 4]}", "mosaic.tile_shape"),
        (MINIMAL + "\nalignment: {clip: {iterations: -1}}", "alignment.clip.iterations"),
        ("- a", "holds a list"),
        ("a: [", "not valid YAML"),
        ("images: !!python/object/apply:os.getcwd []", "not valid YAML"),
    ],
)
def test_a_mistake_is_named(text: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_config(text, "x.yaml")
    assert said in str(caught.value)
    assert "x.yaml" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_all_mistakes_are_named_at_once() -> None:
    with pytest.raises(ConfigError, match=r"weigth.*eps_shift"):
        parse_config("images: {paths: [a], weigth: 1}\nalignment: {eps_shift: 0}", "x.yaml")


def test_clipping_may_be_switched_off() -> None:
    config = parse_config(MINIMAL + "\nalignment: {clip: {iterations: 0}}", "x.yaml")
    assert config.alignment.clip.iterations == 0


def test_one_number_of_iterations_means_two_full_ones() -> None:
    config = parse_config(MINIMAL + "\nalignment: {max_iterations: 7}", "x.yaml")
    assert (config.alignment.max_passes, config.alignment.max_full_passes) == (7, 2)
    config = parse_config(MINIMAL + "\nalignment: {max_iterations: [9, 3]}", "x.yaml")
    assert (config.alignment.max_passes, config.alignment.max_full_passes) == (9, 3)


@pytest.mark.parametrize("override", ["nonsense", "=3", "images.paths.x=3", "a.b=["])
def test_a_bad_override_is_named(override: str) -> None:
    with pytest.raises(ConfigError, match=r"--set|configuration"):
        parse_config(MINIMAL, "x.yaml", (override,))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.yaml: cannot be read: No such file"):
        load_config(tmp_path / "none.yaml")


def test_auto_shares_every_deviation_that_is_not_given() -> None:
    chosen = parse_config(MINIMAL + "\nalignment: {geometry: auto, prior: {scale: 1.0e-5}}", "x")
    algorithms = build_algorithms(chosen)
    assert algorithms.choice is not None
    assert algorithms.shared.shapes == {Shape.ROTATION, Shape.SKEW}
    assert algorithms.prior == ShapePrior(scale=1e-5)


def test_a_deviation_may_be_shared_with_any_geometry() -> None:
    shared = parse_config(MINIMAL + "\nalignment: {prior: {rotation: shared}}", "x")
    algorithms = build_algorithms(shared)
    assert algorithms.choice is None
    assert algorithms.shared.shapes == {Shape.ROTATION}
    assert algorithms.prior == ShapePrior()
