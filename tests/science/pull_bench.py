"""Errors of corrections over their stated ones, from small skies of known truth.

``python tests/science/pull_bench.py FOLDER`` measures skies until every row has 2,000 pulls, and
prints the table of tests/README.md. What a sky gave is kept in the folder: the command goes on
where it was stopped, and parts of it (``--part 1/2``, ``--part 2/2``) may run side by side.

A run gives two displacements for each of a few dozen sources; what it adds up from there on is
linear. So headers err by thousandths of a pixel, as in the last pass of any run, one pass is made,
and its displacements are moved to where they would be at the true corrections, and solved for
every geometry, by the joint and by the independent solver: what comes out is pure error. The gauge
of the joint fit, the mean of all, is that of its covariance. An independent fit is judged against
the mosaic of the others at its true place. Both solvers measure alike; but the joint one begins
with centroids, which is why the run is the independent one's.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from alignsvc import api
from alignsvc.domain.arrays import FloatArray
from alignsvc.domain.celestial import CelestialWcs
from alignsvc.domain.correction import Correction, Geometry
from alignsvc.domain.geometry import Points, SkyPoints
from alignsvc.domain.grid import MosaicGrid
from alignsvc.domain.measurement import Displacements, Factors
from alignsvc.io.locations import RunLocations
from alignsvc.io.tables import read_table
from alignsvc.numerics.sky.corrected import corrected
from alignsvc.numerics.solve.clipping import Clipping, normalised_lengths
from alignsvc.numerics.solve.factors import FactorBuilder, GridPlaces
from alignsvc.numerics.solve.gauge import Footprint, footprint_of
from alignsvc.numerics.solve.joint_fit import JointFitter
from alignsvc.numerics.solve.linear_fit import LinearFitter
from alignsvc.numerics.solve.movement import chip_samples
from alignsvc.numerics.solve.sums import apply_each, inverse_2x2
from alignsvc.run.planning.making import make_plan
from alignsvc.run.planning.plan import PlannedExposure
from alignsvc.run.records import stored
from alignsvc.run.stages.solved_table import SolvedTable, pass_name
from alignsvc.simulation.truth import ExposureTruth, Truth, from_json

#: Pulls that every row of the table wants.
WANTED = 2000
FREE = (Geometry.SHIFT, Geometry.RSHIFT, Geometry.RSCALE, Geometry.GENERAL)
#: Rows of the table: solvers and geometries; what was held out, all of it and what is trusted.
HELD_OUT, TRUSTED = "held out, all", "held out, trusted"
#: Median of the absolute value of a normal variable.
_MEDIAN = 0.6745
#: Draws of sets, for the errors of the table.
_DRAWS = 400
#: How far from its true place a source of the catalogue may lie, px.
_REACH_PX = 2.5
#: Layouts by name: what differs between sets is how many see a source.
LAYOUTS: Mapping[str, Mapping[str, Any]] = {
    "stack": {"name": "stack", "count": 6, "jitter_arcsec": 4.0, "ra": 150.0, "dec": 2.0},
    "strip": {"name": "strip", "count": 6, "overlap": 0.3, "ra": 150.0, "dec": 2.0},
    "pair": {"name": "stack", "count": 2, "jitter_arcsec": 4.0, "ra": 150.0, "dec": 2.0},
}


def sky_of(layout: str, seed: int) -> dict[str, Any]:
    """Return the settings of a small sky."""
    return {
        "seed": seed,
        "layout": dict(LAYOUTS[layout]),
        "camera": {"shape": [320, 320], "scale_arcsec": 0.2},
        "stars": {"density": 100.0, "flux": [10.0, 1e5]},
        "header_errors": {"shift_px": [0.0, 0.01]},
    }


@dataclass(frozen=True)
class SeenExposure:
    """One exposure as if it had its true correction.

    Parameters
    ----------
    to_mosaic, to_others : Factors
        What the two solvers get; held-out sources marked.
    exposure : PlannedExposure
    truth : ExposureTruth
    """

    to_mosaic: Factors
    to_others: Factors
    exposure: PlannedExposure
    truth: ExposureTruth

    def footprint(self, geometry: Geometry, grid: MosaicGrid) -> Footprint:
        """Return the footprint at the true correction, which is none."""
        wcs = self.truth.chips[0].true_wcs
        still = Correction(self.exposure.plane, np.eye(2), np.zeros(2), geometry, np.zeros((6, 6)))
        return footprint_of(wcs.sky_from_pixel(chip_samples(wcs.shape, 3)), still, grid.plane)


@dataclass(frozen=True)
class SeenSet:
    """All exposures of one run, which share one grid."""

    exposures: tuple[SeenExposure, ...]
    grid: MosaicGrid

    def joint_pulls(self, geometry: Geometry) -> FloatArray:
        """Return the pulls of all free parameters in the joint fit of all sources."""
        factors = [
            replace(one.to_mosaic.with_held_out(), exposure=i)
            for i, one in enumerate(self.exposures)
        ]
        fit = JointFitter()(factors, [one.footprint(geometry, self.grid) for one in self.exposures])
        inflation = max(1.0, fit.chi2 / fit.dof)
        return np.concatenate(
            [
                _pulls(step, inflation * covariance)
                for step, covariance in zip(fit.steps, fit.covariances, strict=True)
            ]
        )

    def independent_pulls(self, geometry: Geometry) -> FloatArray:
        """Return the pulls of all free parameters in the independent fits."""
        fits = [LinearFitter(geometry)(one.to_others.with_held_out()) for one in self.exposures]
        return np.concatenate(
            [_pulls(fit.step, max(1.0, fit.chi2 / fit.dof) * fit.covariance) for fit in fits]
        )

    def held_out_pulls(self, geometry: Geometry) -> HeldOutPulls:
        """Return what a fit without them leaves of the held-out sources, over its error."""
        pulls, trusted = [np.zeros((0, 2))], [np.zeros(0, bool)]
        for one in self.exposures:
            held, factors = one.to_others.held_out, one.to_others
            if not held.any():
                continue
            fit = LinearFitter(geometry)(factors)
            jacobian = factors.jacobian[held]
            left = factors.residual[held] - jacobian @ fit.step
            covariance = inverse_2x2(factors.information[held]) + fit.floor**2 * np.eye(2)
            covariance = covariance + jacobian @ fit.covariance @ np.swapaxes(jacobian, 1, 2)
            pulls.append(left / np.sqrt(covariance[:, [0, 1], [0, 1]]))
            lengths = normalised_lengths(left, covariance)
            trusted.append(Clipping().trust_within(lengths, iteration=1) > 0)
        return HeldOutPulls(np.concatenate(pulls), np.concatenate(trusted))

    def pulls(self) -> dict[str, FloatArray]:
        """Return all pulls by row of the table."""
        found = {}
        for one in FREE:
            found[f"joint, {one.value}"] = self.joint_pulls(one)
            found[f"independent, {one.value}"] = self.independent_pulls(one)
        held = self.held_out_pulls(Geometry.RSHIFT)
        found[HELD_OUT] = held.pulls.ravel()
        found[TRUSTED] = held.pulls[held.trusted].ravel()
        return found


@dataclass(frozen=True, slots=True, eq=False)
class HeldOutPulls:
    """Pulls of held-out sources.

    Parameters
    ----------
    pulls : array, shape (n, 2)
    trusted : bool array, shape (n,)
        Whether a fit would have trusted the source, wholly or in part: not one whose peak was
        another source's.
    """

    pulls: FloatArray
    trusted: np.ndarray


def _pulls(error: FloatArray, covariance: FloatArray) -> FloatArray:
    sigma = np.sqrt(np.diag(covariance))
    pulls: FloatArray = error[sigma > 0] / sigma[sigma > 0]
    return pulls


def measured_set(folder: Path, layout: str, seed: int) -> SeenSet:
    """Simulate and measure a sky in a folder; return its exposures at their true places."""
    (folder / "sky.yaml").write_text(yaml.safe_dump(sky_of(layout, seed)), encoding="utf-8")
    api.simulate(folder / "sky.yaml", folder / "sky")
    settings = {
        "run": {"directory": str(folder / "run"), "keep_mosaics": "none"},
        "images": {"paths": [str(folder / "sky" / "*.fits")]},
        "alignment": {"geometry": "rshift", "solver": "independent", "max_iterations": 1},
        "output": {"wcs": "none", "mosaic": "none", "report": "none", "history": "none"},
        "cluster": {"backend": "serial"},
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")
    api.align(folder / "config.yaml")
    truth = from_json((folder / "sky" / "truth.json").read_text(encoding="utf-8"))
    return _seen(folder / "run", truth)


@dataclass(frozen=True)
class _Measured:
    """Displacements of an exposure with where its sources are and where its header puts them."""

    exposure: PlannedExposure
    truth: ExposureTruth
    displacements: Displacements
    places: GridPlaces
    known: np.ndarray
    astray: FloatArray


def _seen(run: Path, truth: Truth) -> SeenSet:
    plan = make_plan(stored.stored_config(run))
    objects = RunLocations(run.absolute()).objects
    passes = len(list((run / "tables" / "solved").glob("pass-????.npz")))
    solved = read_table(objects, pass_name(passes), SolvedTable)
    (grid,) = plan.grids
    planned = {one.id: one for one in plan.exposures}
    true = {one.id: one for one in truth.exposures}
    measured = []
    for name, table, start in zip(
        solved.id.tolist(), solved.displacements, solved.pass_start, strict=True
    ):
        found = read_table(objects, str(table), Displacements)
        one = planned[name]
        total = Correction(
            one.plane, start[2:].reshape(2, 2), start[:2], Geometry.GENERAL, np.zeros((6, 6))
        )
        wcs = corrected(one.header.wcs[0], total)
        measured.append(_measured(one, (true[name], truth), found, (wcs, grid)))
    return SeenSet(tuple(_at_truth(one, measured, grid) for one in measured), grid)


def _measured(
    exposure: PlannedExposure,
    truths: tuple[ExposureTruth, Truth],
    found: Displacements,
    present: tuple[CelestialWcs, MosaicGrid],
) -> _Measured:
    """Return the displacements with the brightest star near each source."""
    (truth, sky), (wcs, grid) = truths, present
    stars = SkyPoints(np.asarray(sky.sources.ra), np.asarray(sky.sources.dec))
    pixel = truth.chips[0].true_wcs.pixel_from_sky(stars)
    distance2 = (pixel.x - found.x[:, None]) ** 2 + (pixel.y - found.y[:, None]) ** 2
    flux = np.where(distance2 < _REACH_PX**2, np.asarray(sky.sources.flux), -1.0)
    star = flux.argmax(axis=1)
    seen = grid.plane.from_sky(wcs.sky_from_pixel(Points(pixel.x[star], pixel.y[star])))
    place = grid.plane.from_sky(SkyPoints(stars.ra[star], stars.dec[star]))
    return _Measured(
        exposure,
        truth,
        found,
        _places(wcs, grid, found),
        flux.max(axis=1) > 0,
        np.stack([seen.x - place.x, seen.y - place.y], axis=1),
    )


def _places(wcs: CelestialWcs, grid: MosaicGrid, found: Displacements) -> GridPlaces:
    def on_grid(dx: float, dy: float) -> Points:
        return grid.pixel_from_sky(wcs.sky_from_pixel(Points(found.x + dx, found.y + dy)))

    columns = []
    for dx, dy in ((0.5, 0.0), (0.0, 0.5)):
        ahead, behind = on_grid(dx, dy), on_grid(-dx, -dy)
        columns.append(np.stack([ahead.x - behind.x, ahead.y - behind.y], axis=1))
    return GridPlaces(on_grid(0.0, 0.0), np.stack(columns, axis=2))


def _at_truth(one: _Measured, everyone: list[_Measured], grid: MosaicGrid) -> SeenExposure:
    """Return an exposure's factors with all exposures at their true places."""
    found = one.displacements
    to_plane = grid.plane_jacobian @ one.places.jacobian
    back = np.linalg.inv(to_plane)
    alone = np.maximum(1.0 - found.weight_share, 1e-3)[:, None]
    others = _others_astray(one, everyone)
    to_mosaic, to_others = (
        replace(found, dx=found.dx + moved[:, 0], dy=found.dy + moved[:, 1])
        for moved in (
            apply_each(back, one.astray / alone),
            apply_each(back, one.astray - others),
        )
    )
    build = FactorBuilder(grid, one.exposure.plane)
    return SeenExposure(
        _only(build.to_mosaic(0, to_mosaic, one.places), one.known),
        _only(build.to_others(0, to_others, one.places), one.known),
        one.exposure,
        one.truth,
    )


def _others_astray(one: _Measured, everyone: list[_Measured]) -> FloatArray:
    """Return how far the mosaic of the others is from the true place; NaN without others."""
    weight, total = np.zeros(len(one.known)), np.zeros((len(one.known), 2))
    for other in everyone:
        if other is one:
            continue
        _, mine, theirs = np.intersect1d(
            one.displacements.source, other.displacements.source, return_indices=True
        )
        share = np.nan_to_num(other.displacements.weight_share[theirs])
        weight[mine] += share
        total[mine] += share[:, None] * other.astray[theirs]
    with np.errstate(invalid="ignore"):
        return total / weight[:, None]


def _only(factors: Factors, known: np.ndarray) -> Factors:
    return replace(factors, use=factors.use & known, held_out=factors.held_out & known)


@dataclass(frozen=True, slots=True)
class Pulls:
    """The pulls of a row of the table, one array for each sky.

    Parameters
    ----------
    by_sky : sequence of arrays
        Those of one sky share their sources, and in part their errors.
    """

    by_sky: Sequence[FloatArray]

    def __len__(self) -> int:
        return sum(len(one) for one in self.by_sky)

    @property
    def rms(self) -> float:
        """The root mean square."""
        return _rms(np.concatenate(self.by_sky))

    @property
    def width(self) -> float:
        """The standard deviation of the normal distribution with the same median length."""
        return _width(np.concatenate(self.by_sky))

    def drawn(self) -> Iterator[Pulls]:
        """Yield as many skies, drawn from these: how their numbers scatter is their error."""
        generator = np.random.default_rng(0)
        for _ in range(_DRAWS):
            which = generator.integers(0, len(self.by_sky), len(self.by_sky))
            yield Pulls([self.by_sky[i] for i in which])

    def __str__(self) -> str:
        drawn = list(self.drawn())
        errors = [np.std([one.rms for one in drawn]), np.std([one.width for one in drawn])]
        return (
            f"{len(self)} | {self.rms:.2f} ± {errors[0]:.2f} | {self.width:.2f} ± {errors[1]:.2f}"
        )


def _rms(pulls: FloatArray) -> float:
    return float(np.sqrt(np.mean(pulls**2)))


def _width(pulls: FloatArray) -> float:
    return float(np.median(np.abs(pulls))) / _MEDIAN


def pulls_by_row(skies: Sequence[Mapping[str, FloatArray]]) -> dict[str, Pulls]:
    """Return the rows of the table of some skies."""
    return {row: Pulls([one[row] for one in skies]) for row in skies[0]}


def skies_wanted(layout: str) -> int:
    """Return from how many skies the row with fewest, shifts, has `WANTED` pulls."""
    return -(-WANTED // (2 * LAYOUTS[layout]["count"]))


def kept(folder: Path, layout: str) -> list[Mapping[str, FloatArray]]:
    """Return what skies have given so far, by seed."""
    return [dict(np.load(path)) for path in sorted(folder.glob(f"{layout}-?????.npz"))]


def gather(folder: Path, layout: str, seeds: Sequence[int]) -> None:
    """Measure the skies that the folder does not have yet."""
    for seed in seeds:
        path = folder / f"{layout}-{seed:05d}.npz"
        if path.exists():
            continue
        with tempfile.TemporaryDirectory(dir=folder) as place:
            found = measured_set(Path(place), layout, seed).pulls()
            whole = Path(place) / "pulls.npz"
            np.savez(whole, **found)
            whole.rename(path)


def main() -> None:
    """Measure what is lacking, print the table of what there is."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="where pulls are kept; made if there is none")
    parser.add_argument("--layouts", nargs="+", choices=list(LAYOUTS), default=list(LAYOUTS))
    parser.add_argument("--skies", type=int, help="of each layout; left out: for 2000 shifts")
    parser.add_argument(
        "--part", default="1/1", metavar="K/N", help="every N-th sky, from the K-th"
    )
    parser.add_argument("--table", action="store_true", help="measure nothing")
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    part, parts = (int(number) for number in given.part.split("/"))
    for layout in () if given.table else given.layouts:
        n = given.skies or skies_wanted(layout)
        gather(given.folder, layout, range(part, n + 1, parts))
    print("| set | | n | rms | width |\n|---|---|---|---|---|")
    for layout in given.layouts:
        skies = kept(given.folder, layout)
        for row, pulls in (pulls_by_row(skies) if skies else {}).items():
            print(f"| {layout} | {row} | {pulls} |")


if __name__ == "__main__":
    main()
