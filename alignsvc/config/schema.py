"""The configuration file as frozen, validated values: one class per section of the YAML.

Only shapes and ranges are checked here, so that a mistake is found before anything is read.
What a name stands for (a resampler, a correlator) is looked up in `alignsvc.config.build`.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic.fields import FieldInfo

from alignsvc.domain.correction import Geometry

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1)]
#: An HDU by index, name, or (name, version).
Extension = int | str | tuple[str, int]
_AN_HDU = "an HDU (its index, its name or [name, version])"
Override = dict[str, object]
#: What a setting is that the run chooses by what it finds.
AUTO = "auto"


def _named(default: str) -> BeforeValidator:
    """Let ``name`` stand for ``{name: name}``, and settings alone be those of the default."""

    def complete(value: object) -> object:
        if isinstance(value, str):
            return {"name": value}
        return {"name": default, **value} if isinstance(value, dict) else value

    return BeforeValidator(complete)


def _words(what: str) -> FieldInfo:
    """Say what a key wants, where its type says too little (see `alignsvc.wording`)."""
    field: FieldInfo = Field(description=what)
    return field


#: Types of keys whose values mean more than their YAML type tells.
KeywordOrNumber = Annotated[str | float | None, _words("a header keyword, a number or null")]
FilePath = Annotated[str | None, _words("a path, a URL or null")]
PlugIn = _words("a name, or {name: ...} with settings beside it")


class Section(BaseModel):
    """A section of the file: frozen, and unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)


class Named(BaseModel):
    """A plug-in and its settings: ``{name: drizzle, kernel: turbo}``, or just the name."""

    model_config = ConfigDict(frozen=True, extra="allow")
    name: Annotated[str, _words("a name")]

    @property
    def settings(self) -> Override:
        """All keys but the name; checked by the plug-in that the name stands for."""
        return dict(self.model_extra or {})


class Sidecar(Section):
    """A file beside the exposure's: its name with the first text replaced by the second."""

    replace: tuple[str, str]


#: Which HDUs hold pixels; where the weights or flags of those are.
Planes = Annotated[
    Literal["auto"] | Extension | tuple[Extension, ...],
    _words(f"auto, {_AN_HDU} or a list of them"),
]
Beside = Annotated[
    Extension | Sidecar | None,
    _words(f"{_AN_HDU}, a file beside ({{replace: [text, other text]}}) or null"),
]


class RunSection(Section):
    """Where the run lives, the finished run that it extends, and when it is not worth going on.

    `max_failed_fraction`: a run of which more exposures failed ends early. 1: never, since a bad
    file among good ones is a failed exposure, not a dead run.
    """

    directory: Annotated[str, Field(min_length=1), _words("a path")] = "runs/quickstart"
    seed: int = 0
    keep_mosaics: Literal["last", "all", "none"] = "last"
    extend: FilePath = None
    freeze: bool = False
    max_failed_fraction: Annotated[float, Field(ge=0, le=1)] = 1.0

    @model_validator(mode="after")
    def _frozen_is_extended(self) -> RunSection:
        if self.freeze and self.extend is None:
            raise ValueError(
                "freeze keeps the corrections of the run that is extended; name that in "
                "run.extend, or leave freeze out"
            )
        return self


class ImagesSection(Section):
    """Which exposures, and how to read them."""

    paths: Annotated[
        tuple[str, ...], Field(min_length=1), _words("a list of at least one path or pattern")
    ]
    science: Planes = "auto"
    weight: Beside = None
    weight_type: Literal["weight", "variance", "rms"] = "weight"
    mask: Beside = None
    mask_bits: Annotated[
        Literal["all"] | int | tuple[int, ...],
        _words("all, a sum of flag values or a list of them"),
    ] = "all"
    saturation: KeywordOrNumber = "SATURATE"
    gain: KeywordOrNumber = "GAIN"
    exposure_time: KeywordOrNumber = "EXPTIME"
    zero_point: KeywordOrNumber = None
    mid_time: KeywordOrNumber = None
    units: str = "auto"
    sky: Annotated[Named, _named("mesh"), PlugIn] = Named(name="mesh")
    group_by: Annotated[str | None, _words("a header keyword, a pattern of paths or null")] = None
    chip_offsets: bool = False


class ReferenceSection(Section):
    """What holds the frame: a fixed image, a catalogue, or (neither) the mean."""

    image: Annotated[str | None, _words("an exposure's id or null")] = None
    catalog: FilePath = None


class MosaicSection(Section):
    """The common grid and how exposures are put on it.

    `reject_cosmic_rays`: ``auto`` looks for them in components that are seen through one filter.
    """

    scale: Literal["auto"] | Positive = "auto"
    grid: FilePath = None
    tile_shape: tuple[Count, Count] = (1024, 1024)
    resampler: Annotated[Named, _named("drizzle"), PlugIn] = Named(name="drizzle")
    reject_cosmic_rays: Literal["auto"] | bool = "auto"
    include_skipped: bool = False

    @model_validator(mode="after")
    def _grid_has_a_scale(self) -> MosaicSection:
        if self.grid is not None and self.scale != "auto":
            raise ValueError(
                "mosaic.grid gives the pixels' scale, mosaic.scale another; leave out one of them"
            )
        return self


class DetectionSection(Section):
    """Which sources are measured."""

    threshold: Positive = 5.0
    min_area: Count = 5
    deblend: Count = 32
    filters: tuple[str, ...] = ("snr > 10",)
    max_sources: Count | None = None
    mask: FilePath = None
    catalog: FilePath = None
    weight_column: Annotated[str | None, _words("the name of a column or null")] = None

    @model_validator(mode="after")
    def _weights_are_a_catalogue_s(self) -> DetectionSection:
        if self.weight_column is not None and self.catalog is None:
            raise ValueError(
                f"weight_column {self.weight_column!r} is a column of detection.catalog, and there "
                "is none; name that, or leave weight_column out"
            )
        return self


class ClipSection(Section):
    """Rejection of outliers in the fit."""

    iterations: Annotated[int, Field(ge=0)] = 3
    sigma: Positive = 3.0


class PriorSection(Section):
    """Standard deviations of rotation [deg], scale and skew [deg]; shared: as the set's are."""

    rotation: Positive | Literal["shared"] | None = None
    scale: Positive | Literal["shared"] | None = None
    skew: Positive | Literal["shared"] | None = None


class AlignmentSection(Section):
    """How displacements are measured and turned into corrections."""

    method: Annotated[Named, _named("correlate"), PlugIn] = Named(name="correlate")
    geometry: Geometry | Literal["auto"] = Geometry.GENERAL
    solver: Literal["global", "independent"] = "global"
    update: Literal["batch", "otf"] = "batch"
    eps_shift: Positive = 0.003
    max_iterations: Count | tuple[Count, Annotated[int, Field(ge=1)]] = 10
    clip: ClipSection = ClipSection()
    use_weights: bool = True
    use_segmentation: bool = True
    match_levels: bool = True
    colour_term: Annotated[str | None, _words("auto, the name of a column of colours or null")] = (
        AUTO
    )
    prior: PriorSection = PriorSection()
    tangent_plane: Annotated[str | None, _words("a header file, an exposure's id or null")] = None
    search_radius: Literal["auto"] | Positive = "auto"
    bootstrap: Literal["auto"] | bool = "auto"
    bootstrap_radius: Positive = 500.0
    hold_out: Annotated[float, Field(ge=0, lt=1)] = 0.2

    @model_validator(mode="after")
    def _global_is_batch(self) -> AlignmentSection:
        if self.solver == "global" and self.update == "otf":
            raise ValueError(
                "update 'otf' aligns one exposure after the other and belongs to "
                "solver 'independent'; with solver 'global' set update: batch"
            )
        return self

    @model_validator(mode="after")
    def _alone_is_without_a_set(self) -> AlignmentSection:
        if self.solver == "independent":
            if self.geometry == "auto":
                raise ValueError(
                    "geometry 'auto' is chosen by the joint solution; with solver 'independent' "
                    "set geometry: shift, rshift, rscale or general"
                )
            if self.prior != PriorSection():
                raise ValueError("prior belongs to solver 'global'; leave it out")
            if self.colour_term not in (None, AUTO):
                raise ValueError("colour_term belongs to solver 'global'; leave it out")
        return self

    @property
    def max_passes(self) -> int:
        """Passes at the most."""
        return (
            self.max_iterations if isinstance(self.max_iterations, int) else self.max_iterations[0]
        )

    @property
    def max_full_passes(self) -> int:
        """Passes with detection anew at the most (n alone means [n, 2])."""
        return 2 if isinstance(self.max_iterations, int) else self.max_iterations[1]


class OutputSection(Section):
    """What is written at the end."""

    wcs: Literal["copy", "in_place", "head", "none"] = "copy"
    wcs_name: Annotated[
        str,
        Field(min_length=1, max_length=60, pattern="^[ -~]*$"),
        _words("a text of 1 to 60 ASCII characters"),
    ] = "ALIGNSVC"
    mosaic: Literal["fits", "none"] = "fits"
    report: Literal["html", "none"] = "html"
    history: Literal["all", "last", "none"] = "last"
    diagnostics_mb: Annotated[
        float, Field(ge=0.0, allow_inf_nan=False), _words("a number of MB, 0 or more")
    ] = 200.0
    write_unconverged: bool = False
    also: tuple[Literal["weight", "variance", "mask"], ...] = ("weight", "variance", "mask")


class ClusterSection(BaseModel):
    """Where the tasks run; what is beside `backend` are the backend's own settings."""

    model_config = ConfigDict(frozen=True, extra="allow")
    backend: Annotated[str, _words("the name of a cluster backend")] = "local"

    @property
    def settings(self) -> Override:
        """All keys but the backend; checked by the backend itself."""
        return dict(self.model_extra or {})


class Config(Section):
    """The whole file."""

    run: RunSection = RunSection()
    images: ImagesSection
    reference: ReferenceSection = ReferenceSection()
    mosaic: MosaicSection = MosaicSection()
    detection: DetectionSection = DetectionSection()
    alignment: AlignmentSection = AlignmentSection()
    output: OutputSection = OutputSection()
    cluster: ClusterSection = ClusterSection()

    @model_validator(mode="after")
    def _catalog_is_global(self) -> Config:
        if self.reference.catalog is not None and self.alignment.solver == "independent":
            raise ValueError(
                "reference.catalog enters the joint solve; with solver 'independent' nothing "
                "would use it: set alignment.solver: global, or leave the catalogue out"
            )
        return self
