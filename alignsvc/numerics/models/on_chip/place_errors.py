"""What is wrong with the places of all of a chip's lopsided stars at once.

Let the odd light be wrong by e, in units of the slopes D that it is made of. A fit whose model has
``f (P + D e)`` where the star is ``f P`` puts up with that as well as place, flux and sky can: with
its own columns O (the slopes of P, P, 1) and weights W it finds, beside the truth,

    a = (O W O^T)^-1 O W D^T e,

and the first two of a are how far the centre of symmetry moves (slopes are what a pixel sees that
moves, the opposite of what a star does; and so is what it has to do about too much light). From
there the convention sets the place off by J e (`SmoothedStar.moved_by`). So a place moves by
``(J + a_xy) e``: light along the slope of the star moves nothing at all, as it should. Faint and
bright stars differ in W: these take more from the tails. What remains, given e, is the fit's own
noise. It is independent of the error of e, which was learnt from what places, fluxes and skies of
the same pixels leave (block elimination of one joint fit, as far as the weights are the same).

How wrong the convention is no pixels tell: what is lopsided in the same way everywhere has one
place by each. Where exposures differ, in their optics or in what a fit has made of these,
conventions part, and nothing says which is right. So one number of unit variance, the same for all
exposures, goes from the present one to a wider one (`OddPartFromStars.wider`): what all exposures
have in common in that moves nobody.
"""

from __future__ import annotations

import numpy as np

from alignsvc.domain.arrays import Float32Array, FloatArray
from alignsvc.domain.geometry import Points
from alignsvc.numerics.displacement.fitting.refine import CommonErrors
from alignsvc.numerics.displacement.stars.star_fit import FittedStars
from alignsvc.numerics.models.on_chip.odd_errors import OddErrors
from alignsvc.numerics.models.on_chip.odd_part import LopsidedStars, slopes_of_gaussians
from alignsvc.numerics.models.on_chip.source_profiles import SourceProfiles

#: Stars that are worked on at once.
_AT_ONCE = 64


def common_errors(profiles: SourceProfiles, placed: FittedStars) -> CommonErrors:
    """Return what places of sources have in common: none, where their stars are symmetric.

    Galaxies have no part in it: they are placed against templates by one and the same profile.
    """
    stars = profiles.star
    if not isinstance(stars, LopsidedStars):
        return CommonErrors.none(len(placed.flux))
    x, y = (np.where(profiles.is_galaxy, np.nan, axis) for axis in placed.place)
    return errors_of_places(stars, Points(x, y), placed.weight)


def errors_of_places(stars: LopsidedStars, place: Points, weight: Float32Array) -> CommonErrors:
    """Return what the errors of an odd part do to places of stars; none where these are known.

    Parameters
    ----------
    stars : LopsidedStars
        n of them.
    place : Points, shape (n,)
        In their windows, pixels; NaN where there is none, and 0 comes back.
    weight : float32 array, shape (n, side, side)
        With which the pixels counted.
    """
    errors, n = stars.odd.errors, len(place.x)
    if errors is None:
        return CommonErrors.none(n)
    terms = stars.odd.field.terms(stars.on_chip)[:, : len(errors.convention)]
    found = np.isfinite(place.x) & np.isfinite(place.y)
    profile, row = np.zeros((n, 2, len(errors.light))), np.flatnonzero(found)
    for first in range(0, len(row), _AT_ONCE):
        rows = row[first : first + _AT_ONCE]
        at = Points(place.x[rows], place.y[rows])
        put_up_with = _absorbed(stars.select(rows), at, weight[rows])
        profile[rows] = _moved(put_up_with, errors, terms[rows])
    convention = np.where(found[:, None], terms @ errors.convention, 0.0)
    return CommonErrors(profile, convention[:, :, None])


def _absorbed(stars: LopsidedStars, place: Points, weight: Float32Array) -> FloatArray:
    """Return how far centres of symmetry move per unit of light in the odd part, (n, 2, 2 k)."""
    n, side = len(place.x), weight.shape[-1]
    own = stars.at(place, side).columns.astype(np.float64)
    off = stars.odd.centre_of(stars.on_chip)
    middle = Points(place.x - off[:, 0], place.y - off[:, 1])
    odd = slopes_of_gaussians(middle, side, stars.odd.sigma_px).reshape(n, -1, side**2)
    weighted = own * weight.reshape(n, 1, side**2)
    inverse = np.linalg.pinv(weighted @ np.swapaxes(own, 1, 2), hermitian=True)
    found: FloatArray = (inverse @ (weighted @ np.swapaxes(odd, 1, 2)))[:, :2]
    return found


def _moved(absorbed: FloatArray, errors: OddErrors, terms: FloatArray) -> FloatArray:
    """Return how far places move with each of the errors, (n, 2, r)."""
    light = np.tensordot(terms, errors.light, axes=(1, 1)).reshape(
        len(terms), len(errors.light), -1
    )
    centre = np.tensordot(terms, errors.centre, axes=(1, 1))
    return np.asarray(absorbed @ np.swapaxes(light, 1, 2) + np.swapaxes(centre, 1, 2), float)
