"""Every mistake in a configuration is one sentence that names the key."""

import re
from pathlib import Path

import pytest
import yaml

from alignsvc.config.build import build_algorithms
from alignsvc.config.load import dump_config, load_config, parse_config
from alignsvc.config.schema import Config
from alignsvc.domain.correction import Geometry
from alignsvc.errors import ConfigError
from alignsvc.numerics.solve.priors import Shape, ShapePrior

MINIMAL = "images: {paths: ['a.fits']}"


def test_only_the_paths_are_required() -> None:
    config = parse_config(MINIMAL, "x.yaml")
    assert config.alignment.geometry is Geometry.GENERAL
    assert config.alignment.eps_shift == 0.003
    assert config.cluster.backend == "local"


def test_the_readme_shows_every_key_with_its_default() -> None:
    """But for plug-ins, of which it also shows the settings."""
    readme = (Path(__file__).parents[3] / "README.md").read_text()
    blocks = re.findall(r"```yaml\n(.*?)```", readme, re.DOTALL)
    (shown,) = (block for block in blocks if "alignment:" in block)
    tree, default = (
        yaml.safe_load(shown),
        parse_config("images: {paths: ['data/*.fits']}", "x.yaml"),
    )
    for section, of_default in default:
        keys = set(type(of_default).model_fields)
        assert keys <= set(tree[section]), section
        for key in keys:
            said = getattr(parse_config(shown, "README.md"), section)
            value = getattr(of_default, key)
            found = getattr(said, key)
            assert getattr(found, "name", found) == getattr(value, "name", value), key


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
        (MINIMAL + "\nalignment: {eps_shift: 0}", "alignment.eps_shift: wanted a number above 0"),
        (MINIMAL + "\nalignment: {eps_shift: -1}", "alignment.eps_shift: wanted a number above 0"),
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
        (MINIMAL + "\ndetection: {weight_column: w}", "is a column of detection.catalog"),
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


ONE_OR_MORE = "a whole number of at least 1"


@pytest.mark.parametrize(
    ("override", "wanted"),
    [
        ("run.directory=3", "a path"),
        ("run.extend=true", "a path, a URL or null"),
        ("images.paths=a.fits", "a list of at least one path or pattern"),
        ("images.paths=[a.fits, 1]", "a list of at least one path or pattern (found 1 in it)"),
        ("images.science=2.5", "auto, an HDU (its index, its name or [name, version]) or a list"),
        ("images.weight=[]", "an HDU (its index, its name or [name, version]), a file beside"),
        ("images.mask_bits=some", "all, a sum of flag values or a list of them"),
        ("images.gain=[1]", "a header keyword, a number or null"),
        ("images.sky=true", "a name, or {name: ...} with settings beside it"),
        ("images.group_by=true", "a header keyword, a pattern of paths or null"),
        ("images.chip_offsets=some", "true or false"),
        ("reference.image=3", "an exposure's id or null"),
        ("mosaic.scale=wide", "auto or a number above 0"),
        ("alignment.eps_shift=.inf", "a number above 0 (found inf)"),
        ("mosaic.tile_shape=[]", f"a list [{ONE_OR_MORE}, {ONE_OR_MORE}]"),
        ("mosaic.reject_cosmic_rays=3", "auto, true or false"),
        ("detection.filters=snr > 3", "a list, each item a text"),
        ("detection.max_sources=0", f"{ONE_OR_MORE} or null (found 0)"),
        ("alignment.method=3", "a name, or {name: ...} with settings beside it"),
        ("alignment.method.name=3", "a name"),
        ("alignment.geometry=true", "shift, rshift, rscale, general or auto (found True)"),
        ("alignment.max_iterations=[3]", f"{ONE_OR_MORE} or a list [{ONE_OR_MORE}, {ONE_OR_MORE}]"),
        ("alignment.clip=3", "keys below it (iterations, sigma)"),
        ("alignment.clip.sigma=0", "a number above 0"),
        ("alignment.prior=shared", "keys below it (rotation, scale, skew)"),
        ("alignment.prior.scale=own", "a number above 0, shared or null (found 'own')"),
        (
            "alignment.colour_term=true",
            "auto, the name of a column of colours or null (found True)",
        ),
        ("alignment.hold_out=1", "a number of at least 0 and below 1"),
        ("run.directory=''", "a path (found '')"),
        ("output.wcs_name=''", "a text of 1 to 60 ASCII characters"),
        ("output.wcs_name=été", "a text of 1 to 60 ASCII characters (found 'été')"),
        ("output.also=[weights]", "a list, each item weight, variance or mask"),
        ("cluster.backend=3", "the name of a cluster backend"),
        ("cluster=local", "keys below it (backend)"),
    ],
)
def test_a_value_of_the_wrong_kind_is_told_what_is_wanted(override: str, wanted: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_config(MINIMAL, "x.yaml", (override,))
    key = override.partition("=")[0]
    assert f"configuration x.yaml: {key}: wanted {wanted}" in str(caught.value)
    assert "found" in str(caught.value)


@pytest.mark.parametrize(
    "value", ["true", "3", "-1", "2.5", "[1, a]", "[]", "{a: b}", "x y", "null"]
)
def test_no_key_answers_in_the_words_of_a_library(value: str) -> None:
    """Whatever a key is given: it is accepted, or a sentence of our own says what was wanted."""
    for section, of_file in Config.model_fields.items():
        assert isinstance(of_file.annotation, type)
        for key in of_file.annotation.model_fields:
            try:
                parse_config(MINIMAL, "x.yaml", (f"{section}.{key}={value}",))
            except ConfigError as error:
                assert f"{section}" in str(error)
                for foreign in ("Input", "valid ", "instance of", "Tuple", "dictionary"):
                    assert foreign not in str(error)


def test_a_mistake_between_sections_is_a_sentence_of_its_own() -> None:
    both = MINIMAL + "\nreference: {catalog: a.csv}\nalignment: {solver: independent}"
    with pytest.raises(ConfigError, match=r"configuration x\.yaml: reference\.catalog enters"):
        parse_config(both, "x.yaml")


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
