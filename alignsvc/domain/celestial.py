"""A celestial WCS of one chip: pixels to ICRS and back, whatever the header's convention.

Threads: `astropy.wcs.WCS` is not thread-safe (it may crash or give wrong numbers in silence), so
every worker process runs *one* thread of tasks. That is settled here and nowhere else. On top of
it a `CelestialWcs` never shares its WCS object: it builds its own, and so does every copy.

A `CelestialWcs` is plain numbers; the WCS object is built when it is asked for (23 us), and a few
hundred of them are kept: 6 kB each would be 64 MB of a driver with ten thousand exposures.
"""

from __future__ import annotations

import math
from dataclasses import InitVar, dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
from astropy.wcs import WCS

from alignsvc.domain.arrays import FloatArray
from alignsvc.domain.geometry import Points, SkyPoints, TangentPlane
from alignsvc.domain.plane_surface import (
    CrossTerms,
    PlaneSurface,
    SurfaceKind,
    SurfacePolynomial,
    TpvSurface,
)
from alignsvc.domain.sky_frame import SkyFrame, sky_frame
from alignsvc.domain.wcs_parts import WcsParts, WcsTerms, assembled, parts_of, tpv_of

__all__ = [
    "CelestialWcs",
    "CrossTerms",
    "PlaneSurface",
    "SurfaceKind",
    "SurfacePolynomial",
    "TpvSurface",
    "WcsTerms",
]

#: Newton's iteration for the inverse of a distortion: it converges quadratically, in 3 or 4 steps.
_MAX_STEPS = 25
#: A step this small ends it: rounding of pixel numbers of 1e4 is 2e-12.
_STEP_PX = 1e-10
#: A residual above this is no solution: far off the chip a polynomial need not have an inverse.
_RESIDUAL_PX = 1e-7


@dataclass(frozen=True, slots=True, eq=False)
class CelestialWcs:
    """The map between a chip's 0-based pixels and ICRS.

    Parameters
    ----------
    given : astropy.wcs.WCS
        Two axes, both celestial, in either order and of either parity; SIP, look-up tables and
        TPV as astropy read them. Copied: what `wcs` gives back holds the linear part, the
        projection and the pixel distortions; a TPV polynomial moves to `surface`.
    shape : tuple of int
        ``(ny, nx)`` of the chip.
    surface : PlaneSurface, TpvSurface or None
        Distortion of the projection plane. For a TNX or ZPX header, the `PlaneSurface` of its
        WATi_nnn; the CTYPE of `wcs` is then TAN or ZPN.

    Raises
    ------
    ValueError
        Not two celestial axes, an unknown frame, or a distortion that this class does not know.
    """

    given: InitVar[WCS]
    shape: tuple[int, int]
    surface: PlaneSurface | TpvSurface | None = None
    _frame: SkyFrame = field(init=False, repr=False)
    _parts: WcsParts = field(init=False, repr=False)

    def __post_init__(self, given: WCS) -> None:
        if given.naxis != 2 or not given.has_celestial:
            raise ValueError(
                f"WCS: {given.naxis} axes of types {list(given.wcs.ctype)}; "
                "two celestial ones are needed"
            )
        _fill(self, parts_of(given), self.shape, self.surface or tpv_of(given))

    @property
    def wcs(self) -> WCS:
        """What astropy computes with; use this class's methods instead, and change nothing."""
        return _assembled(self)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle plain values: astropy's own pickle goes through a header and loses digits."""
        return (_restored, (self._parts, self.shape, self.surface))

    def __deepcopy__(self, memo: dict[int, Any]) -> CelestialWcs:
        """Return a copy with a WCS of its own."""
        return _restored(self._parts, self.shape, self.surface)

    @classmethod
    def from_parts(
        cls, parts: WcsParts, shape: tuple[int, int], surface: PlaneSurface | TpvSurface | None
    ) -> CelestialWcs:
        """Return the WCS of the `parts`, shape and surface of another, bit for bit that one."""
        return _restored(parts, shape, surface)

    @property
    def parts(self) -> WcsParts:
        """All that determines it but for its shape and its surface; not to be changed."""
        return self._parts

    @property
    def projection(self) -> str:
        """The header's three letters: ``TAN``, ``TPV``, ``ZPN``, ``TNX``, ``ZPX``, ..."""
        code = self._parts.ctype[0][5:8]
        if isinstance(self.surface, TpvSurface):
            return "TPV"
        if isinstance(self.surface, PlaneSurface):
            return {"TAN": "TNX", "ZPN": "ZPX"}[code]
        return code

    @property
    def has_distortion(self) -> bool:
        """Whether anything but a linear map and a projection lies between pixel and sky."""
        return self._has_pixel_distortion or self.surface is not None

    @property
    def has_sip(self) -> bool:
        """Whether the WCS has SIP polynomials."""
        return self._parts.sip is not None

    @property
    def has_tables(self) -> bool:
        """Whether the WCS has look-up tables (CPDIS or D2IM)."""
        return any(table is not None for table in self._parts.tables)

    @property
    def terms(self) -> WcsTerms:
        """What a correction may change; `with_terms` puts it back."""
        terms = self._parts.terms
        if isinstance(self.surface, TpvSurface):
            return WcsTerms(terms.crval, terms.cd, terms.lonpole, terms.latpole, self.surface.pv)
        return terms

    @property
    def crpix(self) -> tuple[float, float]:
        """0-based pixel of the reference point."""
        return (self._parts.crpix[0] - 1.0, self._parts.crpix[1] - 1.0)

    @property
    def longitude_axis(self) -> int:
        """0 if the first axis is the longitude, 1 if the second is."""
        return int(self.wcs.wcs.lng)

    @property
    def frame(self) -> SkyFrame:
        """The frame that the header's numbers are in."""
        return self._frame

    @property
    def pixel_scale_arcsec(self) -> float:
        """Square root of the area of the central pixel, arcsec."""
        return math.sqrt(abs(self._central_determinant()))

    @property
    def parity(self) -> int:
        """+1 if (x, y) turns as (east, north) does; -1 for the usual east-left, north-up chip."""
        return 1 if self._central_determinant() > 0 else -1

    def with_terms(self, terms: WcsTerms) -> CelestialWcs:
        """Return the WCS with other `terms`; distortions in pixels and surfaces stay."""
        surface = self.surface
        if isinstance(surface, TpvSurface):
            surface = TpvSurface.from_pv(terms.pv)
            terms = WcsTerms(terms.crval, terms.cd, terms.lonpole, terms.latpole)
        return _restored(self._parts._replace(terms=terms), self.shape, surface)

    def corners(self) -> Points:
        """Return the corners of the pixels' area: -0.5 and n - 0.5, counter-clockwise."""
        ny, nx = self.shape
        return Points(
            np.array([-0.5, nx - 0.5, nx - 0.5, -0.5]), np.array([-0.5, -0.5, ny - 0.5, ny - 0.5])
        )

    def grid(self, n: int) -> Points:
        """Return ``n x n`` points from corner to corner of the pixels' area, flat."""
        ny, nx = self.shape
        y, x = np.meshgrid(
            np.linspace(-0.5, ny - 0.5, n), np.linspace(-0.5, nx - 0.5, n), indexing="ij"
        )
        return Points(x.ravel(), y.ravel())

    def centre(self) -> SkyPoints:
        """Return the sky position of the chip's centre (0-d arrays)."""
        ny, nx = self.shape
        return self.sky_from_pixel(Points(np.array((nx - 1) / 2.0), np.array((ny - 1) / 2.0)))

    def sky_from_pixel(self, pixel: Points) -> SkyPoints:
        """Return ICRS degrees of 0-based pixels, any shape; NaN where there is no sky."""
        virtual = self.undistorted(pixel)
        x, y = np.broadcast_arrays(virtual.x, virtual.y)
        flat = np.stack([x.ravel(), y.ravel()], axis=-1)
        world = self.wcs.wcs_pix2world(flat, 0) if len(flat) else flat
        lng = self.longitude_axis
        own = SkyPoints(world[:, lng].reshape(x.shape), world[:, 1 - lng].reshape(x.shape))
        return self._frame.to_icrs(own)

    def pixel_from_sky(self, sky: SkyPoints) -> Points:
        """Return 0-based pixels, any shape, of ICRS degrees; NaN where there are none.

        A point has no pixel if it lies where the projection does not reach (the other side of the
        sky) or where the distortion has no inverse (far off the chip).
        """
        return self._redistorted(self.virtual_from_sky(sky))

    def virtual_from_sky(self, sky: SkyPoints) -> Points:
        """Return the *undistorted* pixels of ICRS degrees: projection and CD alone."""
        own = self._frame.from_icrs(sky)
        lon, lat = np.broadcast_arrays(np.asarray(own.ra, float), np.asarray(own.dec, float))
        axes = [lon.ravel(), lat.ravel()]
        if self.longitude_axis == 1:
            axes.reverse()
        flat = np.stack(axes, axis=-1)
        good = np.isfinite(flat).all(axis=1)
        pixels = np.full(flat.shape, np.nan)
        if good.any():
            pixels[good] = self.wcs.wcs_world2pix(flat[good], 0)
        return Points(pixels[:, 0].reshape(lon.shape), pixels[:, 1].reshape(lon.shape))

    def undistorted(self, pixel: Points) -> Points:
        """Return the pixels that would lie at the same place if there were no distortion."""
        x, y = np.broadcast_arrays(np.asarray(pixel.x, float), np.asarray(pixel.y, float))
        if self._has_pixel_distortion and x.size:
            fx, fy = self.wcs.pix2foc(x.ravel(), y.ravel(), 0)
            x, y = fx.reshape(x.shape), fy.reshape(y.shape)
        if self.surface is None:
            return Points(x, y)
        cd, (x0, y0) = self._parts.terms.cd, self.crpix
        u, v = x - x0, y - y0
        plane = Points(cd[0, 0] * u + cd[0, 1] * v, cd[1, 0] * u + cd[1, 1] * v)
        # IRAF's surfaces speak of (longitude, latitude), TPV of (axis 1, axis 2).
        swap = isinstance(self.surface, PlaneSurface) and self.longitude_axis == 1
        moved = self.surface.distorted(Points(plane.y, plane.x) if swap else plane)
        if swap:
            moved = Points(moved.y, moved.x)
        inverse = np.linalg.inv(cd)
        return Points(
            inverse[0, 0] * moved.x + inverse[0, 1] * moved.y + x0,
            inverse[1, 0] * moved.x + inverse[1, 1] * moved.y + y0,
        )

    @property
    def _has_pixel_distortion(self) -> bool:
        return self.has_sip or self.has_tables

    def _central_determinant(self) -> float:
        centre = self.centre()
        ny, nx = self.shape
        x, y = (nx - 1) / 2.0, (ny - 1) / 2.0
        plane = TangentPlane(float(centre.ra), float(centre.dec)).from_sky(
            self.sky_from_pixel(
                Points(np.array([x - 0.5, x + 0.5, x, x]), np.array([y, y, y - 0.5, y + 0.5]))
            )
        )
        dx, dy = plane.x[1::2] - plane.x[::2], plane.y[1::2] - plane.y[::2]
        return float(dx[0] * dy[1] - dx[1] * dy[0])

    def _redistorted(self, goal: Points) -> Points:
        """Return the pixels whose `undistorted` places are `goal`, by Newton's method."""
        if not self.has_distortion:
            return goal
        shape = np.shape(goal.x)
        wanted = np.stack([np.ravel(goal.x), np.ravel(goal.y)], axis=-1)
        found = wanted.copy()
        active = np.nonzero(np.isfinite(wanted).all(axis=1))[0]
        found[np.setdiff1d(np.arange(len(wanted)), active)] = np.nan
        with np.errstate(all="ignore"):
            for _ in range(_MAX_STEPS):
                if not active.size:
                    break
                value, jacobian = self._undistorted_with_slope(found[active])
                determinant = np.linalg.det(jacobian)
                # A fold (determinant not positive) lies between the chip and such a point.
                lost = ~(np.isfinite(value).all(axis=1) & (determinant > 0.0))
                residual = wanted[active] - value
                step = np.full_like(residual, np.nan)
                step[~lost] = np.linalg.solve(jacobian[~lost], residual[~lost, :, None])[..., 0]
                found[active] += step
                length = np.abs(step).max(axis=1)
                active = active[(length > _STEP_PX) & ~lost]
            places = self.undistorted(Points(found[:, 0], found[:, 1]))
            error = np.hypot(places.x - wanted[:, 0], places.y - wanted[:, 1])
        found[~(error < _RESIDUAL_PX)] = np.nan
        return Points(found[:, 0].reshape(shape), found[:, 1].reshape(shape))

    def _undistorted_with_slope(self, pixel: FloatArray) -> tuple[FloatArray, FloatArray]:
        # Central differences over a pixel: distortions bend over hundreds of pixels.
        h = 0.5
        offsets = np.array([[0.0, 0.0], [h, 0.0], [-h, 0.0], [0.0, h], [0.0, -h]])
        around = pixel[None, :, :] + offsets[:, None, :]
        moved = self.undistorted(Points(around[..., 0], around[..., 1]))
        places = np.stack([moved.x, moved.y], axis=-1)
        slopes = np.stack([places[1] - places[2], places[3] - places[4]], axis=-1) / (2 * h)
        return places[0], slopes


@lru_cache(maxsize=256)
def _assembled(one: CelestialWcs) -> WCS:
    """Return the WCS object of one `CelestialWcs`: its own, by identity."""
    return assembled(one.parts)


def _fill(
    target: CelestialWcs,
    parts: WcsParts,
    shape: tuple[int, int],
    surface: PlaneSurface | TpvSurface | None,
) -> None:
    wcs = assembled(parts)
    if isinstance(surface, PlaneSurface) and parts.ctype[0][5:8] not in ("TAN", "ZPN"):
        raise ValueError(f"WCS: a plane surface goes with TAN or ZPN, not {parts.ctype[0]}")
    letters = str(wcs.wcs.lngtyp).strip()
    values = {
        "shape": (int(shape[0]), int(shape[1])),
        "surface": surface,
        "_frame": sky_frame(letters, parts.radesys, parts.equinox),
        "_parts": parts,
    }
    for name, value in values.items():
        object.__setattr__(target, name, value)


def _restored(
    parts: WcsParts, shape: tuple[int, int], surface: PlaneSurface | TpvSurface | None
) -> CelestialWcs:
    new = object.__new__(CelestialWcs)
    _fill(new, parts, shape, surface)
    return new
