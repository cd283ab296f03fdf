"""Displacements from windowed centroids."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from alignsvc.domain.arrays import BoolArray, Float32Array, FloatArray
from alignsvc.domain.geometry import Points
from alignsvc.domain.measurement import Displacements
from alignsvc.numerics.displacement.information import Equations, Information
from alignsvc.numerics.displacement.pairs import PairStack
from alignsvc.numerics.displacement.refine import Refined, judged

#: A step is cut to this part of the window's width: farther Newton's method knows nothing.
_LONGEST_STEP = 0.5
#: A response below this part of the window's flux is that of noise, or of a flat top.
_LEAST_RESPONSE = 0.1
_LEAST_OTHERS = 1e-3


@dataclass(frozen=True, slots=True, eq=False)
class Centroids:
    """Centroids of n sources.

    Parameters
    ----------
    own, theirs : Points, shape (n,)
        In the cutouts and in the templates, pixels of the cutout; NaN where not found.
    information : Information
        Of their differences.
    """

    own: Points
    theirs: Points
    information: Information


@dataclass(frozen=True, slots=True)
class WindowedCentroids:
    """Difference of the windowed centroids of the template and of the cutout.

    The centroid is where ``sum g(p - c) (p - c) f = 0`` with a Gaussian g as wide as the source
    (the XWIN of SExtractor's manual). Both frames have the same window and the same mask: what
    is lopsided in both, a galaxy or a masked pixel, drops out. It does not ask that the profiles
    be alike, and it is no better for it: a sharp exposure is read through the template's width.

    Parameters
    ----------
    tolerance_px : float
        A source is done when both steps are below this.
    max_iterations : int
    reach : float
        A centroid that ends farther from its start than this many widths has left its source.
    """

    tolerance_px: float = 1e-4
    max_iterations: int = 30
    reach: float = 2.0

    def __call__(self, pairs: PairStack, start: Points) -> Refined:
        """Return the differences; NO_PEAK and NaN where a centroid is not found."""
        found = self.centroids(pairs, start)
        own, theirs = found.own, found.theirs
        return judged(
            Points(start.x + theirs.x - own.x, start.y + theirs.y - own.y), found.information
        )

    def centroids(self, pairs: PairStack, start: Points) -> Centroids:
        """Return the centroids in the cutouts and in the templates moved by `start`."""
        good = pairs.common(start)
        factors = pairs.texture.factors(np.zeros(len(pairs)), pairs.kernel, start)
        inside = (good & pairs.aperture(start)).astype(np.float32)
        outset = Equations(pairs, pairs.spline, pairs.weight * inside, factors).outset(start)
        begin = Points(pairs.centre.x - start.x, pairs.centre.y - start.y)
        frames = tuple(
            _Frame(np.where(good, f, 0), outset.width_px) for f in (pairs.pixels, outset.template)
        )
        own, theirs = (self._found(frame, begin) for frame in frames)
        at_own, at_theirs = (_known(point, begin) for point in (own, theirs))
        own_variance, template_variance = pairs.variances(outset.model)
        own_covariance, own_sound = frames[0].covariance(at_own, own_variance * good)
        covariance, sound = frames[1].covariance(at_theirs, template_variance * good)
        informative = own_sound & sound
        flux, template_flux = (
            frame.moments(at)[:, 0, 0]
            for frame, at in zip(frames, (at_own, at_theirs), strict=True)
        )
        seen = template_flux > 0
        information = Information(
            own=np.where(informative[:, None, None], own_covariance, np.nan),
            template=np.where(informative[:, None, None], covariance, np.nan),
            flux=np.divide(flux, template_flux, out=np.full(len(pairs), np.nan), where=seen),
            share=_Frame(pairs.share, outset.width_px).mean(at_own),
            informative=informative,
        )
        return Centroids(own, theirs, information)

    def _found(self, frame: _Frame, begin: Points) -> Points:
        """Return the centroids; NaN where the iteration does not end near its begin."""
        x, y = begin.x.copy(), begin.y.copy()
        going = np.arange(len(x))
        for _ in range(self.max_iterations):
            step = frame.select(going).step(Points(x[going], y[going]))
            x[going] += step.x
            y[going] += step.y
            away = np.hypot(x[going] - begin.x[going], y[going] - begin.y[going])
            kept = away <= self.reach * np.maximum(frame.width_px[going], 1.0)
            x[going[~kept]] = y[going[~kept]] = np.nan
            going = going[kept & (np.hypot(step.x, step.y) > self.tolerance_px)]
            if not going.size:
                break
        x[going] = y[going] = np.nan
        return Points(x, y)


@dataclass(frozen=True, slots=True)
class CatalogCentroids:
    """Windowed centroids of the cutouts, against the places that the catalogue gives.

    While exposures are pixels apart the mosaic is smeared, each leave-one-out mosaic in its own
    way, and what is read from it is no longer linear in what is wrong: the second pass of a joint
    solve still moves by a fiftieth of the first. A centroid in the exposure does not know the
    mosaic. The place X of the source is only a common zero, taken up by the source's latent
    offset; so the first pass ends as near as centroids can. The joint solve multiplies a
    displacement by ``1 - share`` for an offset from the mosaic of all; ``X - q`` is that offset
    already, and is divided by it.

    Parameters
    ----------
    centroids : WindowedCentroids
    """

    centroids: WindowedCentroids = field(default_factory=WindowedCentroids)

    def __call__(self, pairs: PairStack, start: Points) -> Refined:
        """Return the displacements; NO_PEAK and NaN where a centroid is not found."""
        found = self.centroids.centroids(pairs, start)
        whole = pairs.whole
        off = on_catalogue(pairs.catalogued, found.own, found.information.share)
        return judged(Points(off.x - whole.x, off.y - whole.y), found.information)


def on_catalogue(catalogue: Points, own: Points, share: FloatArray) -> Points:
    """Return the displacements that a joint solve multiplies to ``catalogue - own``."""
    # Sources with a share near 1 are flagged as dominated, whatever comes out here.
    others = np.maximum(1 - share, _LEAST_OTHERS)
    return Points((catalogue.x - own.x) / others, (catalogue.y - own.y) / others)


def own_places(catalogue: Points, measured: Displacements) -> Points:
    """Return where an exposure has sources whose displacements `on_catalogue` gave."""
    others = np.maximum(1 - measured.weight_share, _LEAST_OTHERS)
    return Points(catalogue.x - measured.dx * others, catalogue.y - measured.dy * others)


@dataclass(frozen=True, slots=True, eq=False)
class _Frame:
    """Frames (n, side, side), 0 where nothing is known, with the width of each one's window."""

    values: Float32Array
    width_px: FloatArray

    def select(self, which: np.ndarray) -> _Frame:
        return _Frame(self.values[which], self.width_px[which])

    def moments(self, at: Points, power: int = 1) -> FloatArray:
        """Return ``sum g^power f v^j u^i`` about points, shape (n, j, i), j and i from 0 to 2.

        u and v are distances in units of the window's width. The window is a product, so that
        the sums are two small matrix products.
        """
        step = np.arange(self.values.shape[-1])
        weights = []
        for centre in (at.y, at.x):
            u = (step - centre[:, None]) / self.width_px[:, None]
            window = np.exp(-0.5 * power * u**2)
            weights.append(np.stack([window, window * u, window * u**2], axis=1))
        rows = weights[0].astype(np.float32) @ self.values
        sums: FloatArray = rows.astype(np.float64) @ np.swapaxes(weights[1], 1, 2)
        return sums

    def mean(self, at: Points) -> FloatArray:
        """Return the mean within the window; NaN where the window lies outside of the frame."""
        whole = _Frame(np.ones_like(self.values), self.width_px).moments(at)[:, 0, 0]
        mean: FloatArray = np.divide(
            self.moments(at)[:, 0, 0], whole, out=np.full(len(whole), np.nan), where=whole > 0
        )
        return mean

    def step(self, at: Points) -> Points:
        """Return Newton's step, pixels; NaN where there is no maximum to be stepped to."""
        sums = self.moments(at)
        response, sound = _response(sums)
        first = np.stack([sums[:, 0, 1], sums[:, 1, 0]], axis=1)
        step = np.linalg.solve(response, first[:, :, None])[:, :, 0]
        length = np.maximum(np.hypot(step[:, 0], step[:, 1]), _LONGEST_STEP)
        step = np.where(sound[:, None], step * (_LONGEST_STEP / length)[:, None], np.nan)
        return Points(step[:, 0] * self.width_px, step[:, 1] * self.width_px)

    def covariance(self, at: Points, variance: Float32Array) -> tuple[FloatArray, BoolArray]:
        """Return the covariances of centroids, px^2, and where they mean something.

        The error of c is ``R^-1 sum g u n``, with R how ``sum g u f`` answers to c.
        """
        response, sound = _response(self.moments(at))
        noise = _Frame(variance, self.width_px).moments(at, power=2)
        products = np.stack([noise[:, 0, 2], noise[:, 1, 1], noise[:, 1, 1], noise[:, 2, 0]], 1)
        inverse = np.linalg.inv(response)
        covariance = inverse @ products.reshape(-1, 2, 2) @ np.swapaxes(inverse, 1, 2)
        scaled: FloatArray = covariance * (self.width_px**2)[:, None, None]
        return scaled, sound


def _response(sums: FloatArray) -> tuple[FloatArray, BoolArray]:
    """Return ``-d(sum g u f)/dc``, per width, and where it is that of a source.

    ``d(g u)/du = g (1 - u^2)``: for a Gaussian as wide as its window, half of the flux.
    """
    flux, across = sums[:, 0, 0], -sums[:, 1, 1]
    along_x, along_y = flux - sums[:, 0, 2], flux - sums[:, 2, 0]
    response = np.stack([along_x, across, across, along_y], axis=1).reshape(-1, 2, 2)
    least = _LEAST_RESPONSE * flux
    sound = (flux > 0) & (along_x > least) & (along_y > least)
    sound &= along_x * along_y - across**2 > least**2
    response[~sound] = np.eye(2)
    return response, sound


def _known(point: Points, other: Points) -> Points:
    found = np.isfinite(point.x)
    return Points(np.where(found, point.x, other.x), np.where(found, point.y, other.y))
