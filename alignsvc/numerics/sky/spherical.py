"""Rotations of the sphere in a WCS: from its Euler angles and back to its terms."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from astropy.wcs import WCS

from alignsvc.domain.arrays import FloatArray
from alignsvc.domain.geometry import (
    Points,
    SkyPoints,
    TangentPlane,
    from_unit_vectors,
    middle_of,
    unit_vectors,
)


class NativeAngles(NamedTuple):
    """The orientation of a projection on the sky, degrees, as a header says it."""

    longitude: float  #: of the reference point (CRVAL)
    latitude: float  #: of the reference point (CRVAL)
    lonpole: float
    latpole: float


def native_to_sky(wcs: WCS) -> FloatArray:
    """Return E, shape (3, 3): the rotation from native to celestial unit vectors.

    Notes
    -----
    Calabretta & Greisen (2002), equation 2, as a matrix: ``E = Rz(alpha_p) M Rz(-phi_p)``, where M
    exchanges the native pole and the celestial one.
    """
    alpha_p, colatitude, phi_p = (float(v) for v in wcs.wcs.cel.euler[:3])
    return _turn(alpha_p) @ _tilt(90.0 - colatitude) @ _turn(-phi_p)


def native_angles(rotation: FloatArray, reference: tuple[float, float]) -> NativeAngles:
    """Return the angles of the header whose E is `rotation`.

    Parameters
    ----------
    rotation : array, shape (3, 3)
    reference : tuple of float
        Native longitude and latitude of the reference point, ``(phi_0, theta_0)``, degrees.
    """
    point = rotation @ _vector(*reference)
    place = from_unit_vectors(point)
    longitude, latitude = float(place.ra), float(place.dec)
    if reference[1] == 90.0:
        # LONPOLE is what is left when CRVAL is divided out: well-conditioned at the pole too,
        # where the rounding of the right ascension is made up for by LONPOLE.
        rest = _tilt(latitude).T @ _turn(-longitude) @ rotation
        lonpole = -math.degrees(math.atan2(rest[1, 0], rest[0, 0]))
        return NativeAngles(longitude, latitude, _near(lonpole), latitude)
    # The celestial pole in native coordinates is E^T z: its longitude is LONPOLE, its latitude
    # LATPOLE, which chooses between two solutions.
    pole = from_unit_vectors(rotation[2])
    return NativeAngles(longitude, latitude, _near(float(pole.ra)), float(pole.dec))


def best_rotation(old: SkyPoints, new: SkyPoints) -> FloatArray:
    """Return the rotation of the sphere, shape (3, 3), that best carries `old` to `new`.

    Parameters
    ----------
    old, new : SkyPoints
        The same points before and after, in one frame; a field of degrees at most.

    Notes
    -----
    Least squares in the tangent planes about the two middles, which is well-conditioned for
    fields of arc seconds (the usual solution on unit vectors loses the angle about the line of
    sight as the square of the field's size).
    """
    before, after = _plane_at(old), _plane_at(new)
    x = before.from_sky(old)
    centre = Points(x.x.mean(), x.y.mean())
    angle = 0.0
    for _ in range(5):
        y = after.from_sky(new)
        u, v = x.x - centre.x, x.y - centre.y
        p, q = y.x - y.x.mean(), y.y - y.y.mean()
        angle = math.atan2(float((u * q - v * p).sum()), float((u * p + v * q).sum()))
        cos, sin = math.cos(angle), math.sin(angle)
        # Where the tangent point itself goes: the target plane is moved to it.
        left = Points(
            np.asarray(y.x.mean() - (cos * centre.x - sin * centre.y)),
            np.asarray(y.y.mean() - (sin * centre.x + cos * centre.y)),
        )
        if math.hypot(float(left.x), float(left.y)) < 1e-11:
            break
        moved = after.to_sky(left)
        after = TangentPlane(float(moved.ra), float(moved.dec))
    turn = np.array([[cos, -sin, 0.0], [sin, cos, 0.0], [0.0, 0.0, 1.0]])
    rotation: FloatArray = _axes(after).T @ turn @ _axes(before)
    return rotation


def minimal_rotation(start: FloatArray, goal: FloatArray) -> FloatArray:
    """Return the rotation by the smallest angle that takes one unit vector to another.

    Notes
    -----
    Rodrigues' formula with the cross product as the axis; not for opposite vectors.
    """
    axis = np.cross(start, goal)
    k = np.array([[0.0, -axis[2], axis[1]], [axis[2], 0.0, -axis[0]], [-axis[1], axis[0], 0.0]])
    rotation: FloatArray = np.eye(3) + k + k @ k / (1.0 + float(start @ goal))
    return rotation


def _plane_at(points: SkyPoints) -> TangentPlane:
    middle = middle_of(points)
    return TangentPlane(float(middle.ra), float(middle.dec))


def _axes(plane: TangentPlane) -> FloatArray:
    # Rows: east, north and the tangent point, as `TangentPlane` defines them.
    ra, dec = math.radians(plane.ra_deg), math.radians(plane.dec_deg)
    sa, ca, sd, cd = math.sin(ra), math.cos(ra), math.sin(dec), math.cos(dec)
    return np.array([[-sa, ca, 0.0], [-sd * ca, -sd * sa, cd], [cd * ca, cd * sa, sd]])


def _vector(longitude: float, latitude: float) -> FloatArray:
    return unit_vectors(SkyPoints(np.asarray(longitude), np.asarray(latitude)))


def _turn(angle_deg: float) -> FloatArray:
    cos, sin = math.cos(math.radians(angle_deg)), math.sin(math.radians(angle_deg))
    return np.array([[cos, -sin, 0.0], [sin, cos, 0.0], [0.0, 0.0, 1.0]])


def _tilt(latitude_deg: float) -> FloatArray:
    cos, sin = math.cos(math.radians(latitude_deg)), math.sin(math.radians(latitude_deg))
    return np.array([[-sin, 0.0, cos], [0.0, -1.0, 0.0], [cos, 0.0, sin]])


def _near(angle_deg: float) -> float:
    # In (-180, 180], as headers have LONPOLE.
    wrapped = math.remainder(angle_deg, 360.0)
    return 180.0 if wrapped == -180.0 else wrapped
