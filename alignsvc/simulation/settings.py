"""What a simulation is made from: frozen settings, valid by construction."""

from __future__ import annotations

import math
import typing
from dataclasses import dataclass, field

from pydantic import ConfigDict

from alignsvc.errors import ConfigError
from alignsvc.simulation.distortions import Distortion
from alignsvc.simulation.distortions.undistorted import Undistorted
from alignsvc.simulation.layouts import Layout
from alignsvc.simulation.layouts.stack import Stack
from alignsvc.spelling import nearest

Range: typing.TypeAlias = tuple[float, float]
_PLANES = ("err", "dq")


def _require(fact: bool, found: str, wanted: str) -> None:
    if not fact:
        raise ConfigError(f"simulation: {found}; wanted {wanted}")


def _require_range(name: str, limits: Range, *, lowest: float) -> None:
    low, high = limits
    _require(
        lowest <= low <= high and math.isfinite(high),
        f"{name} is [{low}, {high}]",
        f"[low, high] with {lowest} <= low <= high",
    )


@dataclass(frozen=True, slots=True)
class CameraSettings:
    """Chips on the focal plane and the optics before them.

    Parameters
    ----------
    shape : tuple of int
        ``(ny, nx)`` pixels of each chip.
    chips : tuple of int
        ``(rows, columns)`` of chips.
    gap_px : float
        Between neighbouring chips.
    chip_rotation_deg : float
        Standard deviation of the rotation of each chip about the optical axis; the same in all
        exposures, and known to the header.
    scale_arcsec : float
        Side of a pixel.
    east_left : bool
        False mirrors the images.
    distortion : Distortion
    """

    shape: tuple[int, int] = (512, 512)
    chips: tuple[int, int] = (1, 1)
    gap_px: float = 40.0
    chip_rotation_deg: float = 0.0
    scale_arcsec: float = 0.2
    east_left: bool = True
    distortion: Distortion = field(default_factory=Undistorted)

    def __post_init__(self) -> None:
        _require(min(self.shape) >= 32, f"camera.shape is {list(self.shape)}", "at least 32 px")
        _require(min(self.chips) >= 1, f"camera.chips is {list(self.chips)}", "at least [1, 1]")
        _require(self.scale_arcsec > 0, f"scale_arcsec is {self.scale_arcsec}", "more than 0")
        _require(self.gap_px >= 0, f"gap_px is {self.gap_px}", "at least 0")

    @property
    def extent_px(self) -> tuple[float, float]:
        """``(width, height)`` of the whole focal plane."""
        (ny, nx), (rows, columns) = self.shape, self.chips
        return (
            columns * nx + (columns - 1) * self.gap_px,
            rows * ny + (rows - 1) * self.gap_px,
        )


@dataclass(frozen=True, slots=True)
class DetectorSettings:
    """How electrons become numbers in the file.

    Parameters
    ----------
    gain : float
        Electrons per unit of the file (adu).
    read_noise : float
        Electrons rms.
    saturation : float
        adu; pixels at or above it are clipped to it.
    bleed : bool
        Whether electrons above saturation run along the column.
    bad_pixels : float
        Fraction of pixels that are dead or hot, the same ones in all exposures. Named in the
        quality plane if there is one, NaN if not.
    """

    gain: float = 1.5
    read_noise: float = 5.0
    saturation: float = 60000.0
    bleed: bool = False
    bad_pixels: float = 0.0

    def __post_init__(self) -> None:
        _require(self.gain > 0, f"detector.gain is {self.gain}", "more than 0")
        _require(self.read_noise >= 0, f"read_noise is {self.read_noise}", "at least 0")
        _require(self.saturation > 0, f"saturation is {self.saturation}", "more than 0")
        _require(0 <= self.bad_pixels < 0.5, f"bad_pixels is {self.bad_pixels}", "a fraction")


@dataclass(frozen=True, slots=True)
class ConditionSettings:
    """What differs from exposure to exposure; each is drawn uniformly from its range.

    Parameters
    ----------
    fwhm_arcsec : tuple of float
        Of the point-spread function before integration over the pixel.
    beta : float or None
        Index of the Moffat profile; None = Gaussian.
    sky : tuple of float
        Electrons per pixel and second.
    exposure_time_s : tuple of float
    transparency : tuple of float
        What part of the sources' light arrives; the header's MAGZPT follows it.
    sky_gradient : tuple of float
        How much brighter the sky is on one side of the camera than on the other, as a part of
        its mean, in a random direction.
    airmass : tuple of float
    refraction_mas : float
        How much farther from the zenith a source stands that is redder by one magnitude, at a
        zenith distance of 45 degrees; it grows with the tangent of that distance. The zenith
        lies in a random direction.
    interval_days : float
        Time between the middles of one exposure and the next.
    """

    fwhm_arcsec: Range = (0.8, 1.2)
    beta: float | None = 3.0
    sky: Range = (4.0, 6.0)
    exposure_time_s: Range = (100.0, 100.0)
    transparency: Range = (1.0, 1.0)
    sky_gradient: Range = (0.0, 0.0)
    airmass: Range = (1.0, 1.0)
    refraction_mas: float = 0.0
    interval_days: float = 0.002

    def __post_init__(self) -> None:
        for name in ("fwhm_arcsec", "exposure_time_s", "transparency"):
            _require_range(f"conditions.{name}", getattr(self, name), lowest=1e-6)
        _require_range("conditions.sky", self.sky, lowest=0.0)
        _require_range("conditions.sky_gradient", self.sky_gradient, lowest=0.0)
        _require_range("conditions.airmass", self.airmass, lowest=1.0)
        _require(self.sky_gradient[1] <= 1, f"sky_gradient is {self.sky_gradient}", "at most 1")
        _require(self.beta is None or self.beta > 1, f"beta is {self.beta}", "more than 1")


@dataclass(frozen=True, slots=True)
class AberrationSettings:
    """What the optics make of stars that air alone leaves round and alike all over the camera.

    Parameters
    ----------
    tail : tuple of float
        Part of a star's light that is in a tail on one side; drawn for each exposure.
    tail_arcsec : float
        How far the middle of the tail is from the star.
    turns : bool
        Whether tails point in a random direction in each exposure; otherwise in one in all.
    seeing_gradient : tuple of float
        How much wider stars are on one side of the camera than on the other, as a part of their
        FWHM, in a random direction; drawn for each exposure.
    """

    tail: Range = (0.0, 0.0)
    tail_arcsec: float = 0.6
    turns: bool = False
    seeing_gradient: Range = (0.0, 0.0)

    def __post_init__(self) -> None:
        _require_range("aberrations.tail", self.tail, lowest=0.0)
        _require_range("aberrations.seeing_gradient", self.seeing_gradient, lowest=0.0)
        _require(self.tail[1] < 0.5, f"tail is {list(self.tail)}", "less than half of the light")
        _require(self.seeing_gradient[1] < 1, "seeing_gradient is 1 or more", "less than 1")
        _require(self.tail_arcsec > 0, f"tail_arcsec is {self.tail_arcsec}", "more than 0")


@dataclass(frozen=True, slots=True)
class StarSettings:
    """Stars: uniform on the sky, number with flux above F going as F^-slope.

    Parameters
    ----------
    density : float
        Stars per square arcmin in the whole range of flux.
    flux : tuple of float
        Electrons per second.
    slope : float
    proper_motion_mas : float
        Standard deviation per axis, mas per year since J2016.
    colour : float
        Standard deviation, magnitudes, about a mean of 0; of galaxies too.
    """

    density: float = 140.0
    flux: Range = (10.0, 1e5)
    slope: float = 0.6
    proper_motion_mas: float = 0.0
    colour: float = 0.0

    def __post_init__(self) -> None:
        _require(self.density >= 0, f"density is {self.density}", "at least 0")
        _require(self.colour >= 0, f"colour is {self.colour}", "at least 0")
        _require_range("flux", self.flux, lowest=1e-9)
        _require(self.slope > 0, f"slope is {self.slope}", "more than 0")


@dataclass(frozen=True, slots=True)
class GalaxySettings:
    """Galaxies: as `StarSettings`, with elliptical Sersic profiles.

    Parameters
    ----------
    density : float
        Galaxies per square arcmin in the whole range of flux.
    flux : tuple of float
        Electrons per second.
    slope : float
    half_light_arcsec : tuple of float
        Range of the half-light radius of the major axis, uniform in its logarithm.
    axis_ratio : tuple of float
    sersic : tuple of float
        Indices to choose from, each as likely: 1 = exponential, 4 = de Vaucouleurs.
    """

    density: float = 0.0
    flux: Range = (10.0, 2000.0)
    slope: float = 0.8
    half_light_arcsec: Range = (0.3, 1.5)
    axis_ratio: Range = (0.3, 1.0)
    sersic: tuple[float, ...] = (1.0,)

    def __post_init__(self) -> None:
        _require(self.density >= 0, f"density is {self.density}", "at least 0")
        _require_range("flux", self.flux, lowest=1e-9)
        _require_range("half_light_arcsec", self.half_light_arcsec, lowest=1e-6)
        _require_range("axis_ratio", self.axis_ratio, lowest=0.05)
        _require(self.slope > 0, f"slope is {self.slope}", "more than 0")
        good = bool(self.sersic) and all(0.5 <= n <= 6 for n in self.sersic)
        _require(good, f"sersic is {list(self.sersic)}", "indices from 0.5 to 6")


@dataclass(frozen=True, slots=True)
class CosmicRaySettings:
    """Tracks of cosmic rays; they are not in the quality plane.

    Parameters
    ----------
    per_megapixel : float
        Mean number of tracks in 10^6 pixels of one exposure.
    electrons_per_px : float
        Median charge left in a pixel's length of track.
    length_px : float
        Mean length of the tracks.
    """

    per_megapixel: float = 0.0
    electrons_per_px: float = 1500.0
    length_px: float = 6.0

    def __post_init__(self) -> None:
        good = self.per_megapixel >= 0 and self.electrons_per_px > 0 and self.length_px > 0
        _require(good, "cosmic_rays has a negative number", "positive ones")


@dataclass(frozen=True, slots=True)
class GrossError:
    """What is wrong with the header of one exposure beyond the errors that all have.

    Parameters
    ----------
    exposure : int
        Which one, from 0.
    shift_px : tuple of float
        (east, north).
    rotation_deg : float
        From north through east.
    is_mirrored : bool
        Whether east and west are exchanged.
    """

    __pydantic_config__: typing.ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    exposure: int
    shift_px: Range = (0.0, 0.0)
    rotation_deg: float = 0.0
    is_mirrored: bool = False


@dataclass(frozen=True, slots=True)
class ChipError:
    """By how much the headers of one chip are wrong, besides what is wrong with the exposure.

    Parameters
    ----------
    chip : int
        Which one, from 0, row by row of the camera.
    shift_px : tuple of float
        (x, y) in pixels of the chip that its headers lack: what is to be found.
    exposure : int or None
        In which exposure, from 0; None = in all.
    """

    __pydantic_config__: typing.ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    chip: int
    shift_px: Range
    exposure: int | None = None


@dataclass(frozen=True, slots=True)
class HeaderErrorSettings:
    """By how much the headers are wrong: one linear map of each exposure's tangent plane.

    Parameters
    ----------
    shift_px : tuple of float
        Range of the length of the pointing error, in a random direction.
    rotation_deg : float
        Standard deviation.
    scale, skew : float
        Standard deviations, as fractions.
    exposure_time : tuple of float
        Range of what EXPTIME is multiplied by, uniform in its logarithm.
    gross : tuple of GrossError
        Exposures that are far off.
    chip_shift_px : float
        Standard deviation of each chip's own error per axis, the same in all exposures.
    chips : tuple of ChipError
        More errors of single chips.
    """

    shift_px: Range = (0.5, 2.0)
    rotation_deg: float = 0.02
    scale: float = 0.0
    skew: float = 0.0
    exposure_time: Range = (1.0, 1.0)
    gross: tuple[GrossError, ...] = ()
    chip_shift_px: float = 0.0
    chips: tuple[ChipError, ...] = ()

    def __post_init__(self) -> None:
        _require_range("header_errors.shift_px", self.shift_px, lowest=0.0)
        small = (
            min(self.rotation_deg, self.scale, self.skew, self.chip_shift_px) >= 0
            and self.scale < 0.1
        )
        _require_range("header_errors.exposure_time", self.exposure_time, lowest=1e-6)
        _require(small, "header_errors has a negative or large number", "small positive ones")


@dataclass(frozen=True, slots=True)
class SkySettings:
    """A whole simulation.

    Parameters
    ----------
    seed : int
        The same seed gives the same bytes.
    layout : Layout
        Where the exposures point.
    camera, detector, conditions, aberrations, stars, galaxies, cosmic_rays, header_errors
        A section of the file each.
    planes : tuple of str
        Extensions beside the pixels: ``err`` (standard deviation) and ``dq`` (1 = bad pixel,
        2 = saturated).
    """

    seed: int = 0
    layout: Layout = field(default_factory=Stack)
    camera: CameraSettings = CameraSettings()
    detector: DetectorSettings = DetectorSettings()
    conditions: ConditionSettings = ConditionSettings()
    aberrations: AberrationSettings = AberrationSettings()
    stars: StarSettings = StarSettings()
    galaxies: GalaxySettings = GalaxySettings()
    cosmic_rays: CosmicRaySettings = CosmicRaySettings()
    header_errors: HeaderErrorSettings = HeaderErrorSettings()
    planes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for plane in self.planes:
            if plane not in _PLANES:
                raise ConfigError(f"simulation: planes has {plane!r}{nearest(plane, _PLANES)}")
