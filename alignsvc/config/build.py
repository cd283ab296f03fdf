"""From validated settings to the algorithm objects that they stand for, through the registries."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TypeVar

from alignsvc.config.schema import AlignmentSection, Config, ImagesSection, Named, PriorSection
from alignsvc.config.schema import Sidecar as SidecarSection
from alignsvc.domain.chip_sky import SkyEstimator
from alignsvc.domain.correction import Geometry
from alignsvc.domain.quality import SourceFlag
from alignsvc.engine.base import ClusterBackend
from alignsvc.engine.clusters import cluster_backend
from alignsvc.errors import ConfigError
from alignsvc.io.image_settings import (
    AUTO,
    HduSelector,
    ImageSettings,
    Sidecar,
    WeightType,
    grouping,
)
from alignsvc.numerics.displacement.correlators import CORRELATORS, Correlator
from alignsvc.numerics.displacement.fitting.centroids import CatalogCentroids, WindowedCentroids
from alignsvc.numerics.displacement.fitting.refine import TemplateFit
from alignsvc.numerics.displacement.measure import CorrelationMeasurement
from alignsvc.numerics.displacement.stars.sharp_stars import SharpStars
from alignsvc.numerics.displacement.windows.psf_matching import PsfMatching
from alignsvc.numerics.displacement.windows.sizes import SizeClasses
from alignsvc.numerics.matching.pattern_match import PatternMatcher
from alignsvc.numerics.models.on_chip.chip_profile import ProfileFromStars
from alignsvc.numerics.models.on_chip.model_only import OnlyModelStars
from alignsvc.numerics.models.on_chip.model_stars import ModelStars
from alignsvc.numerics.models.on_chip.mosaic_sources import MosaicSources
from alignsvc.numerics.models.on_chip.star_or_galaxy import GalaxyShapes
from alignsvc.numerics.resampling.resamplers import RESAMPLERS, Resampler
from alignsvc.numerics.solve.clipping import Clipping
from alignsvc.numerics.solve.freedom import GeometryChoice
from alignsvc.numerics.solve.movement import ConvergenceRule
from alignsvc.numerics.solve.priors import Shape, ShapePrior
from alignsvc.numerics.solve.relative_levels import LevelSolver
from alignsvc.numerics.solve.shared_prior import SharedPrior
from alignsvc.numerics.sources.cosmic_rays import CosmicRayRejection
from alignsvc.numerics.sources.detection import Detector
from alignsvc.numerics.sources.exposure_sources import ExposureDetector
from alignsvc.numerics.sources.filters import Filter, Without, parse_filter
from alignsvc.numerics.sources.level_measurement import LevelMeasurement
from alignsvc.numerics.sources.mosaic_background import MosaicMesh
from alignsvc.numerics.sources.skies import SKIES
from alignsvc.registry import Registry

T = TypeVar("T")

#: How wrong headers may be where `alignment.search_radius` is auto, pixels: footprints this near
#: count as overlapping, and the grid has this much room. Headers as they come are off by 2 px.
AUTO_SEARCH_RADIUS_PX = 8
#: Ways to measure, and the settings of each.
_METHODS: dict[str, tuple[str, ...]] = {
    "correlate": ("correlation", "refine"),
    "centroid": (),
    "model": ("correlation", "source"),
    "both": ("correlation", "refine", "source"),
}
_METHOD_DEFAULTS: dict[str, object] = {"correlation": "ncc", "refine": True, "source": "auto"}
#: Profiles of the sources of a model; of several the chip's stars choose.
_SOURCES: dict[str, ModelStars] = {
    "moffat": ModelStars(ProfileFromStars(("moffat",))),
    "gaussian": ModelStars(ProfileFromStars(("gaussian",))),
    "sersic": ModelStars(
        ProfileFromStars(("moffat", "gaussian")), galaxies=GalaxyShapes(least_evidence=0.0)
    ),
    "auto": ModelStars(ProfileFromStars(("moffat", "gaussian")), galaxies=GalaxyShapes()),
}


@dataclass(frozen=True, slots=True)
class Bootstrap:
    """How exposures are compared before the loop.

    Parameters
    ----------
    detector : ExposureDetector
    matcher : PatternMatcher
    is_required : bool
        Whether an exposure that cannot be compared is left out; if not, it keeps its header.
    """

    detector: ExposureDetector
    matcher: PatternMatcher
    is_required: bool


@dataclass(frozen=True, slots=True)
class Algorithms:
    """Everything of a run that changes numbers, as objects that work.

    Parameters
    ----------
    images, sky, resampler
        How exposures are read, freed of their sky, and put on the grid.
    cosmic_rays
        How cosmic rays are found, if they are wanted.
    mesh, detector, filters, max_sources
        How sources are found and chosen.
    measurement
        How displacements are measured.
    comparison
        How they are measured once more at the end, to be compared (None: they are not).
    sources_first
        How sources are modelled on the mosaic before exposures are measured by a model (None: none
        are).
    levels, level_solver
        How flux scales and skies are compared with the mosaic (None: they are not), and solved.
    geometry, choice
        How free corrections are at first, and how the freedom of each is chosen then (None: it
        stays).
    clipping, prior, shared
        How corrections are fitted.
    rule
        When the loop ends.
    bootstrap
        How the loop's start is found where headers are far off; None = as the headers have it.
    """

    images: ImageSettings
    sky: SkyEstimator
    resampler: Resampler
    cosmic_rays: CosmicRayRejection
    mesh: MosaicMesh
    detector: Detector
    filters: tuple[Filter, ...]
    max_sources: int | None
    measurement: CorrelationMeasurement
    comparison: CorrelationMeasurement | None
    sources_first: MosaicSources | None
    levels: LevelMeasurement | None
    level_solver: LevelSolver
    geometry: Geometry
    choice: GeometryChoice | None
    clipping: Clipping
    prior: ShapePrior
    shared: SharedPrior
    rule: ConvergenceRule
    bootstrap: Bootstrap | None


def build_algorithms(config: Config) -> Algorithms:
    """Return the algorithms that `config` names.

    Raises
    ------
    ConfigError
        A plug-in or a setting of one does not exist, or a value is out of its range.
    """
    _require_one_solve_for_chips(config)
    detection, alignment = config.detection, config.alignment
    is_chosen = alignment.geometry == "auto"
    return Algorithms(
        images=image_settings(config.images),
        sky=_built("images.sky", SKIES, config.images.sky),
        resampler=_built("mosaic.resampler", RESAMPLERS, config.mosaic.resampler),
        cosmic_rays=CosmicRayRejection(),
        mesh=MosaicMesh(),
        detector=Detector(detection.threshold, detection.min_area, detection.deblend),
        filters=_filters(detection.filters),
        max_sources=detection.max_sources,
        measurement=_measurement(alignment, _search_radius(config)),
        comparison=_comparison(alignment, _search_radius(config)),
        sources_first=_sources_first(alignment),
        levels=LevelMeasurement() if alignment.match_levels else None,
        level_solver=LevelSolver(),
        geometry=Geometry.GENERAL if is_chosen else Geometry(alignment.geometry),
        choice=GeometryChoice() if is_chosen else None,
        clipping=Clipping(alignment.clip.iterations, alignment.clip.sigma),
        prior=_prior(alignment.prior),
        shared=_shared(alignment),
        rule=ConvergenceRule(alignment.eps_shift, alignment.max_passes),
        bootstrap=_bootstrap(config),
    )


def build_cluster(config: Config, workers: int | None) -> ClusterBackend:
    """Return the backend that `config` names; `workers` overrides its number of workers."""
    settings = config.cluster.settings
    if workers is not None and config.cluster.backend != "serial":
        settings = {**settings, "workers": workers}
    try:
        return cluster_backend(config.cluster.backend, settings)
    except ConfigError as error:
        raise ConfigError(f"cluster: {error}") from error


def method_settings(method: Named) -> dict[str, object]:
    """Return the settings of a way to measure, with the defaults of those that are not given.

    Raises
    ------
    ConfigError
        There is no such way, or it has no such setting.
    """
    if method.name not in _METHODS:
        raise ConfigError(
            f"alignment.method: there is no {method.name!r} "
            "(known: correlate, centroid, model, both)"
        )
    known = _METHODS[method.name]
    unknown = set(method.settings) - set(known)
    if unknown:
        raise ConfigError(
            f"alignment.method: {method.name} has no setting {min(unknown)!r} "
            f"(known: {', '.join(known) or 'none'})"
        )
    return {key: method.settings.get(key, _METHOD_DEFAULTS[key]) for key in known}


def image_settings(images: ImagesSection) -> ImageSettings:
    """Return how exposures are read."""
    return ImageSettings(
        science=_science(images),
        weight=_plane(images.weight),
        weight_type=WeightType(images.weight_type),
        mask=_plane(images.mask),
        mask_bits=images.mask_bits,
        saturation=images.saturation,
        gain=images.gain,
        exposure_time=images.exposure_time,
        zero_point=images.zero_point,
        mid_time=AUTO if images.mid_time is None else images.mid_time,
        units=images.units,
        group_by=grouping(images.group_by),
    )


def margin_px(config: Config) -> int:
    """Return how wrong the headers may be, pixels."""
    return _search_radius(config) or AUTO_SEARCH_RADIUS_PX


def _bootstrap(config: Config) -> Bootstrap | None:
    alignment = config.alignment
    if alignment.bootstrap is False:
        return None
    near_px = float(margin_px(config))
    radius_px = max(near_px, float(alignment.bootstrap_radius))
    matcher = PatternMatcher(near_px=near_px, radius_px=radius_px)
    return Bootstrap(ExposureDetector(), matcher, alignment.bootstrap is True)


def _prior(prior: PriorSection) -> ShapePrior:
    """Return the deviations that are given as numbers."""
    given = (prior.rotation, prior.scale, prior.skew)
    return ShapePrior(*(None if one == "shared" else one for one in given))


def _shared(alignment: AlignmentSection) -> SharedPrior:
    """Return which deviations come from the set: those said to, and with `auto` all not given."""
    taken = {"shared", None} if alignment.geometry == "auto" else {"shared"}
    given = {
        Shape.ROTATION: alignment.prior.rotation,
        Shape.SCALE: alignment.prior.scale,
        Shape.SKEW: alignment.prior.skew,
    }
    return SharedPrior(frozenset(shape for shape, value in given.items() if value in taken))


def _search_radius(config: Config) -> int | None:
    radius = config.alignment.search_radius
    return None if radius == "auto" else max(1, round(radius))


def _science(images: ImagesSection) -> str | int | tuple[HduSelector, ...]:
    """Return the selection; one (name, version) pair is a list of one."""
    science = images.science
    if isinstance(science, str | int):
        return science
    if len(science) == 2 and isinstance(science[0], str) and isinstance(science[1], int):
        return ((science[0], science[1]),)
    return tuple(science)


def _plane(plane: HduSelector | SidecarSection | None) -> HduSelector | Sidecar | None:
    return Sidecar(*plane.replace) if isinstance(plane, SidecarSection) else plane


def _measurement(
    alignment: AlignmentSection, search_radius_px: int | None
) -> CorrelationMeasurement:
    method = alignment.method
    settings = {**_METHOD_DEFAULTS, **method_settings(method)}
    refine = settings["refine"]
    if not isinstance(refine, bool):
        raise ConfigError(f"alignment.method.refine: found {refine!r}, wanted true or false")
    correlation = Named(name=str(settings["correlation"]))
    correlator = _built("alignment.method.correlation", CORRELATORS, correlation)
    sizes = SizeClasses(search_radius_px=search_radius_px)
    if method.name == "model":
        return _model(alignment, correlator, sizes)
    if not refine:
        return CorrelationMeasurement(correlator, None, sizes)
    # Only the joint solve knows a source's place for what it is, one more unknown.
    first = CatalogCentroids() if alignment.solver == "global" else None
    if method.name == "centroid":
        return CorrelationMeasurement(correlator, WindowedCentroids(), sizes, first=first)
    stars = SharpStars() if alignment.solver == "global" else None
    return CorrelationMeasurement(
        correlator, TemplateFit(), sizes, matching=PsfMatching(), first=first, stars=stars
    )


def _comparison(
    alignment: AlignmentSection, search_radius_px: int | None
) -> CorrelationMeasurement | None:
    """Return the model of ``method: both``, which nothing stands in for where there is none."""
    if alignment.method.name != "both":
        return None
    correlator = _built("alignment.method.correlation", CORRELATORS, Named(name="ncc"))
    found = _model(alignment, correlator, SizeClasses(search_radius_px=search_radius_px))
    assert isinstance(found.stars, ModelStars)
    return replace(found, stars=OnlyModelStars(found.stars))


def _model(
    alignment: AlignmentSection, correlator: Correlator, sizes: SizeClasses
) -> CorrelationMeasurement:
    """Return the measurement that finds sources by correlation and places them by a model."""
    if alignment.solver != "global":
        raise ConfigError(
            f"alignment.method: {alignment.method.name} places sources by an exposure's own "
            "pixels, and only the global solver knows what is wrong with the catalogue's; "
            f"alignment.solver is {alignment.solver}, set it to global or use correlate"
        )
    source = method_settings(alignment.method)["source"]
    if not isinstance(source, str) or source not in _SOURCES:
        raise ConfigError(
            f"alignment.method.source: found {source!r}, wanted one of {', '.join(_SOURCES)}"
        )
    centroids, stars = CatalogCentroids(), _SOURCES[source]
    # Galaxies are placed against templates in the exposure's seeing.
    matching = None if stars.galaxies is None else PsfMatching()
    return CorrelationMeasurement(
        correlator, centroids, sizes, matching=matching, first=centroids, seams=None, stars=stars
    )


def _sources_first(alignment: AlignmentSection) -> MosaicSources | None:
    """Return how sources are modelled on the mosaic; None where no exposure is measured so."""
    if alignment.method.name not in ("model", "both"):
        return None
    return MosaicSources(_SOURCES[str(method_settings(alignment.method)["source"])])


def _built(key: str, family: Registry[T], chosen: Named) -> T:
    """Return a plug-in; what is wrong with it is said with the key that names it."""
    try:
        return family.build(chosen.name, chosen.settings)
    except ConfigError as error:
        raise type(error)(f"{key}: {error}") from error


def _filters(texts: tuple[str, ...]) -> tuple[Filter, ...]:
    try:
        filters = tuple(parse_filter(text) for text in texts)
    except ConfigError as error:
        raise ConfigError(f"detection.filters: {error}") from error
    if Without(SourceFlag.MOVING) in filters:
        raise ConfigError(
            "detection.filters: 'not moving' acts before anybody knows what moves; leave it out: "
            "what moves is left out of the fit anyway"
        )
    return filters


def _require_one_solve_for_chips(config: Config) -> None:
    if config.images.chip_offsets and config.alignment.solver != "global":
        raise ConfigError(
            "images.chip_offsets: true asks for what all exposures say of a chip; "
            f"alignment.solver is {config.alignment.solver}, set it to global"
        )
