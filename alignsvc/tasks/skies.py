"""The sky of an exposure: measured once, by whoever needs it first, and kept for all others."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from alignsvc.domain.arrays import FloatArray, IntArray
from alignsvc.domain.chip_sky import KeptSky, SkyEstimator, SkyModel
from alignsvc.domain.digest import digest_of
from alignsvc.domain.exposure import Chip, Exposure, ExposureRef
from alignsvc.errors import DamagedProduct, DataError
from alignsvc.io.image_settings import ImageSettings
from alignsvc.io.locations import SKIES, RunLocations
from alignsvc.io.places import Place
from alignsvc.io.tables import read_table, write_table


@dataclass(frozen=True, slots=True, eq=False)
class KeptSkies:
    """What is kept of the skies of an exposure's chips, one after the other.

    Parameters
    ----------
    chip : int64 array, shape (n,)
        Index in the exposure; chips without a good pixel have no sky.
    rms : float64 array, shape (n,)
    rows, columns : int64 arrays, shape (n,)
        Of each chip's mesh.
    mesh_level, mesh_rms : float64 arrays, shape (cells of all meshes,)
        Row after row.
    """

    chip: IntArray
    rms: FloatArray
    rows: IntArray
    columns: IntArray
    mesh_level: FloatArray
    mesh_rms: FloatArray

    @classmethod
    def of(cls, found: Mapping[int, KeptSky]) -> KeptSkies:
        """Return the skies of chips, by their indices."""
        skies = [found[chip] for chip in sorted(found)]
        none = np.zeros(0)
        return cls(
            np.array(sorted(found), np.int64),
            np.array([one.rms for one in skies], np.float64),
            np.array([one.mesh_level.shape[0] for one in skies], np.int64),
            np.array([one.mesh_level.shape[1] for one in skies], np.int64),
            np.concatenate([none, *(one.mesh_level.ravel() for one in skies)]),
            np.concatenate([none, *(one.mesh_rms.ravel() for one in skies)]),
        )

    def of_chip(self, chip: int) -> KeptSky:
        """Return the sky of a chip, by its index; IndexError if it has none."""
        row = int(np.flatnonzero(self.chip == chip)[0])
        shape = (int(self.rows[row]), int(self.columns[row]))
        sizes = self.rows * self.columns
        start = int(sizes[:row].sum())
        cells = slice(start, start + int(sizes[row]))
        return KeptSky(
            float(self.rms[row]),
            self.mesh_level[cells].reshape(shape),
            self.mesh_rms[cells].reshape(shape),
        )


@dataclass(frozen=True, slots=True)
class SkyOfExposure:
    """The sky of an exposure as its files have it: cosmic rays, corrections and levels apart.

    Rays are found in the loop, time and again. They are few pixels, which an estimator leaves out
    as it leaves out stars: so the sky is that of the files' pixels and masks alone.

    Parameters
    ----------
    exposure : ExposureRef
    images : ImageSettings
        How its files are read.
    estimator : SkyEstimator
    """

    exposure: ExposureRef
    images: ImageSettings
    estimator: SkyEstimator

    @property
    def name(self) -> str:
        """The name of its table: all that the sky follows from."""
        return f"{SKIES}{digest_of('sky', self.exposure, self.images, self.estimator)}.npz"

    def __call__(self, run: Place, read: Callable[[], Exposure]) -> KeptSkies:
        """Return the sky, from the store of a run if it is there whole.

        Else it is measured and kept. It has the same bits whoever measures it, so that two who do
        at the same time write the same.

        Parameters
        ----------
        run : Place
            The run directory.
        read : callable
            Returns the exposure as its files hold it; called if its sky must be measured.

        Raises
        ------
        DataError
            As of `read` and of the estimator.
        """
        objects = RunLocations(run).products
        try:
            return read_table(objects, self.name, KeptSkies)
        except DamagedProduct:
            pass  # nobody has measured it, or what was kept is damaged
        found = {
            index: self._measured(chip).kept
            for index, chip in enumerate(read().chips)
            if not chip.mask.all()
        }
        skies = KeptSkies.of(found)
        write_table(objects, self.name, skies)
        return skies

    def _measured(self, chip: Chip) -> SkyModel:
        try:
            return self.estimator(chip.pixels, chip.mask)
        except DataError as error:
            where = f"exposure {self.exposure.id}, chip {chip.name}"
            raise DataError(error.kind, f"{where}: {error}") from error
