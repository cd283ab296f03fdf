"""How a few exposures are fitted by models."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from alignsvc.domain.correction import Geometry
from alignsvc.errors import ConfigError
from alignsvc.numerics.models.least_squares import LevenbergMarquardt
from alignsvc.numerics.models.light.pixel_rules import NARROWEST
from alignsvc.numerics.models.light.profile import Profile, ShapeParameter
from alignsvc.numerics.models.profiles import PROFILES

STARS = ("moffat", "gaussian", "gaussians", "empirical")
EMPIRICAL = "empirical"
#: What stars are before their PSF is measured.
_BEFORE_MEASURED = "moffat"
GEOMETRIES = ("none", *(geometry.value for geometry in Geometry))
_CHOICES = {
    "star": STARS,
    "psf": ("exposure", "shared", "varying"),
    "flux": ("exposure", "band"),
    "errors": ("tested", "given"),
    "sky": ("none", "window", "window_plane", "exposure", "exposure_plane"),
}
_POSITIVE = (
    "window_px",
    "window_fwhm",
    "fwhm_px",
    "psf_px",
    "robust",
    "threshold",
    "max_sources",
)


@dataclass(frozen=True, slots=True)
class SceneSettings:
    """Joint fit of sources and WCS corrections to the pixels of a few exposures.

    Parameters
    ----------
    star : str
        What stars look like: ``moffat``, ``gaussian``, ``gaussians`` (a sum of two), or
        ``empirical``: after a fit with a Moffat an effective PSF is measured from the stars, and
        all is fitted again with the PSF held (chi2/dof is a few per cent low then: its numbers are
        not counted). It is point-symmetric: a star's place is the centre
        of symmetry that fits best, see `FittedExposure.lopsided`.
    elliptical : bool
        Whether stars may be.
    geometry : str or tuple of str
        What is free of a correction: ``none``, ``shift``, ``rshift`` (and rotation), ``rscale``
        (and scale), ``general`` (any linear map). One name: of all exposures but the first,
        which is the reference. Several: of each; images that share a correction count once,
        those with a `SceneExposure.placing` not at all.
    psf : str
        The shape of stars is that of each ``exposure``; ``shared`` by all; or ``varying``
        linearly over each exposure's field.
    flux : str
        A source has a flux in each ``exposure``, or in each ``band``.
    sky : str
        ``none`` (it was subtracted); a level, or a plane, in each ``window``, ``window_plane``;
        or for each ``exposure``, ``exposure_plane``.
    window_px : int or None
        Side of a source's window; even numbers grow by one. None: by the width.
    window_fwhm : float
        Side of a window in FWHM of the source. Windows that overlap become one.
    fwhm_px : float or None
        Where the stars' width begins. None: what the stars show. Without any star: the PSF's
        width, which then stays.
    psf_px : int or None
        Side of the stamp about each star from which an ``empirical`` PSF is measured, and that
        `FittedExposure.psf_stamp` shows; even numbers grow by one. None: a window of a star.
    robust : float or None
        Standard deviations at which a pixel counts half (2.385 costs 5 % with Gaussian noise).
        chi2 is then that of the lowered weights. None: least squares.
    errors : str
        ``tested``: where chi2 is larger than noise makes it, beyond 4 of its standard deviations,
        the exposure's variance counts chi2/dof times in all stated errors, so that these hold what
        a wrong model leaves, or a variance that is too small. What is found stays, and so does
        chi2. ``given``: stated errors are those of the variance.
    reach_px, turn_deg : float
        How far a header may be off at a source, and in rotation. The start is sought among
        sources that stand out; these need not be those that are fitted.
    threshold : float
        Standard deviations at which a source stands out.
    max_sources : int
        If sources are not given: so many of the brightest of the reference.
    search : LevenbergMarquardt

    Raises
    ------
    ConfigError
        A name that is none of these, or a number out of range.
    """

    star: str = "moffat"
    elliptical: bool = False
    geometry: str | tuple[str, ...] = "rshift"
    psf: str = "exposure"
    flux: str = "exposure"
    sky: str = "exposure"
    window_px: int | None = None
    window_fwhm: float = 6.0
    fwhm_px: float | None = None
    psf_px: int | None = None
    robust: float | None = None
    errors: str = "tested"
    reach_px: float = 20.0
    turn_deg: float = 10.0
    threshold: float = 10.0
    max_sources: int = 100
    search: LevenbergMarquardt = field(default_factory=LevenbergMarquardt)

    def __post_init__(self) -> None:
        for name, known in _CHOICES.items():
            _require(name, getattr(self, name), known)
        named = (self.geometry,) if isinstance(self.geometry, str) else self.geometry
        for one in named:
            _require("geometry", one, GEOMETRIES)
        for name in _POSITIVE:
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ConfigError(f"scene: {name} {value} found, wanted a positive number")
        if self.star == EMPIRICAL and self.psf == "varying":
            raise ConfigError(
                "scene: star 'empirical' found with psf 'varying': what is measured is one PSF of "
                "an exposure; wanted psf 'exposure' or 'shared', or another star"
            )

    @property
    def star_parameters(self) -> tuple[ShapeParameter, ...]:
        """What a `SceneExposure.psf_shape` gives the numbers of, with bounds and longest steps."""
        return self.star_profile(max(NARROWEST)).parameters

    def star_profile(self, nodes: int) -> Profile:
        """Return the stars' parametric profile, integrated over pixels by so many nodes."""
        name = _BEFORE_MEASURED if self.star == EMPIRICAL else self.star
        return PROFILES.build(name, {"elliptical": self.elliptical, "nodes": nodes})

    def psf_side(self, fwhm_px: float) -> int:
        """Return the side of a stamp about a star of a width, odd."""
        side = self.window_fwhm * fwhm_px if self.psf_px is None else self.psf_px
        return math.ceil(side) | 1

    def geometries(self, corrections: Sequence[str]) -> tuple[str, ...]:
        """Return what is free of each image, by the names of their corrections.

        Raises
        ------
        ConfigError
            Another number of geometries than of corrections.
        """
        if not corrections:
            return ()
        different = list(dict.fromkeys(corrections))
        given = self.geometry
        if isinstance(given, str):
            given = ("none", *(given,) * (len(different) - 1))
        if len(given) != len(different):
            raise ConfigError(
                f"scene: {len(given)} geometries for {len(different)} exposures; give one for "
                "each, or one name for all but the first"
            )
        of = dict(zip(different, given, strict=True))
        return tuple(of[name] for name in corrections)


def _require(name: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise ConfigError(f"scene: {name} {value!r} found, wanted one of {', '.join(known)}")
