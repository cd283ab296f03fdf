"""How well corrected headers agree with the truth, beside the best that could be."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from alignsvc.domain.arrays import FloatArray
from alignsvc.domain.celestial import CelestialWcs
from alignsvc.domain.correction import Correction, Geometry
from alignsvc.domain.geometry import Points
from alignsvc.errors import ConfigError
from alignsvc.simulation.bound import bound
from alignsvc.simulation.coverage import CoveredPoints, covered_points
from alignsvc.simulation.pulls import Pulls, pulls_of
from alignsvc.simulation.truth import Truth
from alignsvc.wording import counted

_GENERAL = Geometry.GENERAL.basis

#: The WCS of each chip, by exposure id.
WcsOfExposures = Mapping[str, Sequence[CelestialWcs]]


@dataclass(frozen=True, slots=True)
class Misalignment:
    """What is left between the exposures, pixels of the exposure.

    Parameters
    ----------
    local_rms_px : float
        Per axis: offset of each exposure from the mean of those that cover a point of the sky,
        over a lattice of points covered by two or more.
    local_max_px : float
        Longest of those offsets.
    affine_rms_px : float
        Per axis: offsets from the truth, at the same points, less one common affine map.
    """

    local_rms_px: float
    local_max_px: float
    affine_rms_px: float


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The residual misalignment, what it was in the headers given, and the bound on it.

    Parameters
    ----------
    geometry : Geometry
        What the bound takes to be free in each exposure.
    n_exposures, n_points : int
        Exposures and points of the sky that take part.
    before, after : Misalignment
        By the headers given, and by the corrected ones.
    bound_local_px, bound_affine_px : float
        Joint Cramér-Rao bounds on the rms values; NaN where the sources do not determine the
        geometry.
    local_degrees : float
        Degrees of freedom n of the local rms: of an estimator at the bound, `ratio_local` squared
        scatters from one noise realisation to the next as chi2 over n does (Satterthwaite 1946),
        `ratio_local` by ``1 / sqrt(2 n)``; NaN with the bounds.
    pulls : Pulls or None
        None if no covariances were given.
    """

    geometry: Geometry
    n_exposures: int
    n_points: int
    before: Misalignment
    after: Misalignment
    bound_local_px: float
    bound_affine_px: float
    local_degrees: float
    pulls: Pulls | None

    @property
    def ratio_local(self) -> float:
        """Local rms over its bound."""
        return self.after.local_rms_px / self.bound_local_px

    @property
    def ratio_affine(self) -> float:
        """Rms after the common affine map over its bound."""
        return self.after.affine_rms_px / self.bound_affine_px

    def as_json(self) -> dict[str, object]:
        """Return plain values for JSON; None where a number is NaN."""
        record: dict[str, object] = {
            "geometry": self.geometry.value,
            "n_exposures": self.n_exposures,
            "n_points": self.n_points,
            **asdict(self.after),
            "bound_local_px": self.bound_local_px,
            "bound_affine_px": self.bound_affine_px,
            "ratio_local": self.ratio_local,
            "ratio_affine": self.ratio_affine,
            "local_degrees": self.local_degrees,
            **{f"before_{name}": value for name, value in asdict(self.before).items()},
            "pulls": None if self.pulls is None else asdict(self.pulls),
        }
        return {
            key: None if isinstance(value, float) and math.isnan(value) else value
            for key, value in record.items()
        }


def evaluate(
    truth: Truth,
    corrected: WcsOfExposures,
    corrections: Mapping[str, Correction] | None = None,
    *,
    geometry: Geometry = Geometry.GENERAL,
    chip_offsets: bool = False,
) -> Evaluation:
    """Return the residual misalignment of the exposures that `corrected` names.

    Parameters
    ----------
    truth : Truth
    corrected : mapping of exposure id to the CelestialWcs of each chip, in file order
        Exposures that are not in it take no part, neither here nor in the bound.
    corrections : mapping of exposure id to Correction, optional
        Total corrections with covariances; their pulls are then returned too.
    geometry : Geometry
        What was free: the bound depends on it.
    chip_offsets : bool
        Whether each chip had an offset besides, common to all exposures.

    Raises
    ------
    ConfigError
        An exposure that the truth does not know, another number of chips, or no two exposures
        that cover a point in common.
    """
    _check(truth, corrected)
    use = [k for k, exposure in enumerate(truth.exposures) if exposure.id in corrected]
    components = covered_points(truth.exposures, use)
    if not components:
        raise ConfigError(
            f"evaluate: {len(use)} exposures, none of which overlap; give at least two that do"
        )
    given = {e.id: tuple(chip.given_wcs for chip in e.chips) for e in truth.exposures}
    bounds = [bound(truth, covered, geometry, chip_offsets=chip_offsets) for covered in components]
    count = sum(item.count for item in bounds)
    local_px2 = sum(item.local_px2 for item in bounds)
    return Evaluation(
        geometry=geometry,
        n_exposures=sum(len(covered.exposures) for covered in components),
        n_points=sum(int(covered.point.max()) + 1 for covered in components),
        before=_misalignment(truth, components, given),
        after=_misalignment(truth, components, corrected),
        bound_local_px=math.sqrt(local_px2 / count),
        bound_affine_px=math.sqrt(sum(item.affine_px2 for item in bounds) / count),
        local_degrees=local_px2**2 / sum(item.local_px4 for item in bounds),
        pulls=None
        if corrections is None
        else pulls_of(
            [(covered, offsets(truth, covered, corrected)) for covered in components],
            [e.id for e in truth.exposures],
            corrections,
        ),
    )


def _check(truth: Truth, corrected: WcsOfExposures) -> None:
    chips = {exposure.id: len(exposure.chips) for exposure in truth.exposures}
    for name, wcs in corrected.items():
        if name not in chips:
            raise ConfigError(
                f"evaluate: exposure {name!r} is not in the truth, which has "
                f"{', '.join(list(chips)[:3])}, ...; name the simulation that the run was made of"
            )
        if len(wcs) != chips[name]:
            raise ConfigError(
                f"evaluate: exposure {name!r} has {counted(len(wcs), 'chip')}; the truth has "
                f"{chips[name]}"
            )


def offsets(truth: Truth, covered: CoveredPoints, wcs: WcsOfExposures) -> FloatArray:
    """Return (east, north) of where `wcs` puts the points less the truth, shape (n, 2), arcsec."""
    field = np.zeros((len(covered), 2))
    for place, k in enumerate(covered.exposures):
        exposure = truth.exposures[k]
        for chip, one in enumerate(wcs[exposure.id]):
            rows = np.flatnonzero((covered.exposure == place) & (covered.chip == chip))
            pixel = Points(covered.pixel.x[rows], covered.pixel.y[rows])
            found = covered.plane.from_sky(one.sky_from_pixel(pixel))
            field[rows, 0] = found.x - covered.place.x[rows]
            field[rows, 1] = found.y - covered.place.y[rows]
    return field


def _misalignment(
    truth: Truth, components: Sequence[CoveredPoints], wcs: WcsOfExposures
) -> Misalignment:
    local, affine = [], []
    for covered in components:
        field = offsets(truth, covered, wcs)
        scale = covered.scale_arcsec[:, None]
        local.append(covered.less_local_mean(field) / scale)
        affine.append(covered.less_common_map(field, _GENERAL) / scale)
    local_px, affine_px = np.concatenate(local), np.concatenate(affine)
    return Misalignment(
        local_rms_px=float(np.sqrt(np.mean(local_px**2))),
        local_max_px=float(np.hypot(local_px[:, 0], local_px[:, 1]).max()),
        affine_rms_px=float(np.sqrt(np.mean(affine_px**2))),
    )
