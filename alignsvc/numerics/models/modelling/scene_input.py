"""What a person gives to a model fit: images with their headers, and perhaps sources."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from astropy.wcs import WCS

from alignsvc.domain.arrays import BoolArray, Float32Array, FloatArray, read_only
from alignsvc.domain.celestial import CelestialWcs
from alignsvc.domain.geometry import SkyPoints
from alignsvc.errors import ConfigError
from alignsvc.numerics.models.galaxies import GALAXIES
from alignsvc.numerics.models.parameters import Quantity

#: What a source may be beside a galaxy.
STAR = "star"
#: A matrix whose area is this part of its elements' squares maps to a line.
_NO_AREA = 1e-12
#: Numbers of a shift and a matrix.
_PLACING = 6


@dataclass(frozen=True, slots=True, eq=False)
class SceneExposure:
    """An image and what is known of it.

    Parameters
    ----------
    pixels : float array, shape (ny, nx)
        Not finite = masked.
    wcs : CelestialWcs or astropy.wcs.WCS
    variance : float array of that shape, float, or None
        Of each pixel, the sources' own noise included; where it is not positive and finite the
        pixel is masked. None: the sky's is measured, and the sources' follows from the model.
    mask : bool array of that shape, or None
        True = bad.
    gain : float or None
        Electrons per unit of the pixels, for the noise of the sources. None: found from what the
        fit leaves. Not used with a variance.
    saturation : float or None
        Pixels at or above it are masked.
    band : str
        Exposures of one band may share fluxes (`SceneSettings.flux`).
    flux_scale : float
        What a source's flux in these pixels is, times that in pixels of scale 1: the known ratio
        of exposure times, say, for exposures that share fluxes.
    name : str
        For messages and names of parameters; empty: numbered.
    correction : str
        Images that give the same name here, chips of one camera, share one correction. Empty:
        a correction of its own.
    placing : Quantity or None
        Six numbers, fixed, free, or expressions of unknowns that exposures share by name: the
        shift, arcsec east and north, and row by row the matrix M of ``new = M old + shift``. It
        acts on the *sky*, the tangent plane about the middle of the sources;
        `placings.turned_pixels` gives the M that turns pixels. The fit begins where its unknowns
        begin: nothing is matched. None: as `SceneSettings.geometry` says, which counts the other
        exposures alone.
    psf_shape : Quantity or None
        The numbers of `SceneSettings.star_parameters`; or three times as many, with their changes
        along x and y per half size of the field. Unknowns are shared by name here too. None: as
        `SceneSettings.psf` says.

    Raises
    ------
    ConfigError
        Shapes that differ, a gain or a scale that is not positive, or a placing of other than 6
        numbers.
    """

    pixels: FloatArray | Float32Array
    wcs: CelestialWcs | WCS
    variance: FloatArray | Float32Array | float | None = None
    mask: BoolArray | None = None
    gain: float | None = None
    saturation: float | None = None
    band: str = ""
    flux_scale: float = 1.0
    name: str = ""
    correction: str = ""
    placing: Quantity | None = None
    psf_shape: Quantity | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "pixels", read_only(np.asarray(self.pixels)))
        shape = np.shape(self.pixels)
        if len(shape) != 2 or 0 in shape:
            raise ConfigError(f"{self._label}: pixels of shape {shape} found, wanted an image")
        for plane in ("variance", "mask"):
            found = np.shape(getattr(self, plane))
            if found not in ((), shape):
                raise ConfigError(f"{self._label}: {plane} of shape {found}, pixels of {shape}")
        if self.gain is not None and not self.gain > 0:
            raise ConfigError(
                f"{self._label}: gain {self.gain} found, wanted a positive number, or None"
            )
        if not 0 < self.flux_scale < math.inf:
            raise ConfigError(
                f"{self._label}: flux_scale {self.flux_scale} found, wanted a positive number"
            )
        if self.placing is not None and self.placing.size != _PLACING:
            raise ConfigError(
                f"{self._label}: placing of {self.placing.size} numbers found, wanted 6: a shift "
                "of 2, arcsec, and a matrix of 4"
            )
        if self.placing is not None and self.correction:
            raise ConfigError(
                f"{self._label}: both a placing and correction {self.correction!r} found, wanted "
                "one; placings share what has one name"
            )

    @property
    def shape(self) -> tuple[int, int]:
        """``(ny, nx)``."""
        ny, nx = np.shape(self.pixels)
        return ny, nx

    @property
    def good(self) -> BoolArray:
        """Which pixels can be used, shape (ny, nx)."""
        good = np.isfinite(self.pixels)
        if self.mask is not None:
            good &= ~np.asarray(self.mask, bool)
        if self.saturation is not None:
            # NaN compares as False.
            good &= self.pixels < self.saturation
        if self.variance is not None:
            good &= np.isfinite(self.variance) & (np.asarray(self.variance) > 0)
        return good

    @property
    def of_scale_1(self) -> SceneExposure:
        """The same image in the units in which its band's fluxes are."""
        k = self.flux_scale
        if k == 1:
            return self
        return replace(
            self,
            pixels=self.pixels / k,
            variance=None if self.variance is None else np.asarray(self.variance) / k**2,
            gain=None if self.gain is None else self.gain * k,
            saturation=None if self.saturation is None else self.saturation / k,
            flux_scale=1.0,
        )

    @property
    def has_invertible_wcs(self) -> bool:
        """Whether it is finite, and its linear part maps pixels to a plane, not to a line."""
        if isinstance(self.wcs, CelestialWcs):
            return True
        matrix = np.asarray(self.wcs.pixel_scale_matrix)
        numbers = [*self.wcs.wcs.crval, *self.wcs.wcs.crpix, *matrix.ravel()]
        return bool(np.isfinite(numbers).all()) and bool(
            abs(np.linalg.det(matrix)) > _NO_AREA * np.sum(matrix**2)
        )

    @property
    def celestial(self) -> CelestialWcs:
        """The WCS in the one form that is used inside."""
        if isinstance(self.wcs, CelestialWcs):
            return self.wcs
        return CelestialWcs(self.wcs, self.shape)

    @property
    def _label(self) -> str:
        return f"exposure {self.name}" if self.name else "an exposure"


@dataclass(frozen=True, slots=True, eq=False)
class SceneSources:
    """Sources that are known.

    Parameters
    ----------
    ra, dec : float64 arrays, shape (n,)
        ICRS degrees: where they are about, or exactly where `held`.
    model : str or tuple of str
        Of all, or of each: ``star``, or a galaxy: ``sersic``, ``exponential``,
        ``de_vaucouleurs``.
    held : bool, or bool array, shape (n,)
        Whether the places are known and stay: of all, or of each.

    Raises
    ------
    ConfigError
        A place that is not finite, a model that does not exist, or not one for each source.
    """

    ra: FloatArray
    dec: FloatArray
    model: str | tuple[str, ...] = STAR
    held: bool | BoolArray = False

    def __post_init__(self) -> None:
        ra, dec = (np.atleast_1d(np.asarray(axis, float)) for axis in (self.ra, self.dec))
        if ra.shape != dec.shape or ra.ndim != 1:
            raise ConfigError(f"sources: ra {ra.shape} and dec {dec.shape}, wanted two lists")
        if not (np.isfinite(ra).all() and np.isfinite(dec).all()):
            raise ConfigError("sources: a place that is not finite; leave that source out")
        object.__setattr__(self, "ra", read_only(ra))
        object.__setattr__(self, "dec", read_only(dec))
        held = np.asarray(self.held, bool)
        if held.shape not in ((), ra.shape):
            raise ConfigError(
                f"sources: held of shape {held.shape}, wanted one for each of {ra.shape}"
            )
        object.__setattr__(self, "held", read_only(np.broadcast_to(held, ra.shape).copy()))
        if not isinstance(self.model, str) and len(self.model) != len(ra):
            raise ConfigError(f"sources: {len(self.model)} models for {len(ra)} sources")
        for model in sorted(set(self.models) - {STAR}):
            GALAXIES.build(model, {})

    def __len__(self) -> int:
        return len(self.ra)

    @property
    def sky(self) -> SkyPoints:
        """Their places."""
        return SkyPoints(self.ra, self.dec)

    @property
    def models(self) -> tuple[str, ...]:
        """The model of each."""
        return (self.model,) * len(self) if isinstance(self.model, str) else self.model
