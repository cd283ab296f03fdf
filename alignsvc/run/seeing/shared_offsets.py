"""What other exposures see of sources as well, where places are compared with a catalogue's.

A source that is placed by a model is compared with its place in the catalogue, and where that is
wrong all exposures see it off alike. The joint solve has an offset for each source for that. It is
made here again, from some of the others: what their corrections leave of it, by inverse variances.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from alignsvc.domain.arrays import FloatArray, IntArray
from alignsvc.domain.measurement import Displacements
from alignsvc.domain.quality import DisplacementFlag
from alignsvc.errors import DamagedProduct
from alignsvc.io.objects import ObjectStore
from alignsvc.io.tables import read_table
from alignsvc.run.planning.outlines import Outlines
from alignsvc.run.seeing.corrections_at_sources import CorrectionOfPass, SourcesMoved
from alignsvc.run.stages.solved_table import SolvedTable
from alignsvc.tasks.diagnostics import DISPLACEMENTS, PLACES, SourcePlaces

#: Others that are read, the nearest: few enough to be asked of a bucket while somebody waits.
MOST_OTHERS = 12


@dataclass(frozen=True, slots=True, eq=False)
class SharedOffsets:
    """Offsets of sources, (east, north); NaN where none of the others sees one.

    Parameters
    ----------
    offset_arcsec : float64, shape (n, 2)
    variance_arcsec2 : float64, shape (n,)
        On each axis.
    """

    offset_arcsec: FloatArray
    variance_arcsec2: FloatArray

    @classmethod
    def of(cls, wanted: IntArray, seen: Sequence[_Seen]) -> SharedOffsets:
        """Return the offsets of sources, by id, that others have seen."""
        ids, rows = np.unique(wanted, return_inverse=True)
        weight, moment = np.zeros(len(ids)), np.zeros((len(ids), 2))
        for one in seen:
            known = np.isin(one.source, ids)
            at = np.searchsorted(ids, one.source[known])
            np.add.at(weight, at, 1 / one.variance[known])
            np.add.at(moment, at, one.left[known] / one.variance[known][:, None])
        with np.errstate(divide="ignore", invalid="ignore"):
            variance = np.where(weight > 0, 1 / weight, np.nan)
            return cls((moment * variance[:, None])[rows], variance[rows])


@dataclass(frozen=True, slots=True, eq=False)
class _Seen:
    """What an exposure's correction leaves of its sound sources, arcsec and arcsec^2."""

    source: IntArray
    left: FloatArray
    variance: FloatArray

    @classmethod
    def read(cls, objects: ObjectStore, stem: str, correction: CorrectionOfPass) -> _Seen:
        measured = read_table(objects, stem + DISPLACEMENTS, Displacements)
        places = read_table(objects, stem + PLACES, SourcePlaces)
        off = own_offsets(measured) - SourcesMoved.of(measured, places, correction).to_end
        own = 0.5 * (measured.own_covariance[:, 0] + measured.own_covariance[:, 2])
        flags = measured.flags & ~int(DisplacementFlag.HELD_OUT)
        in_pixels = places.pixel_from_plane.astype(np.float64)
        sound = (flags == 0) & np.isfinite(off).all(axis=1) & np.isfinite(own) & (own > 0)
        sound &= np.isfinite(in_pixels).all(axis=(1, 2))
        to_plane = np.linalg.inv(in_pixels[sound])
        area = np.abs(np.linalg.det(to_plane))
        left = (to_plane @ off[sound][:, :, None])[:, :, 0]
        return cls(measured.source[sound], left, own[sound] * area)


def own_offsets(measured: Displacements) -> FloatArray:
    """Return the offsets from what all exposures together say: ``(1 - w) d``, px, shape (n, 2)."""
    others = 1.0 - measured.weight_share
    return np.stack([measured.dx * others, measured.dy * others], axis=1)


def find_shared_offsets(
    objects: ObjectStore,
    folder: str,
    wanted: tuple[str, IntArray],
    solved: tuple[SolvedTable, Outlines],
) -> SharedOffsets:
    """Return what the nearest others see of an exposure's sources as well.

    Parameters
    ----------
    objects : ObjectStore
    folder : str
        Where the pass keeps what it keeps.
    wanted : tuple of str and int64 array
        The exposure's id and its sources'.
    solved : tuple of SolvedTable and Outlines
        What the pass did to exposures, and where these lie. What cannot be read is left out.
    """
    exposure_id, sources = wanted
    table, outlines = solved
    seen = []
    for other in _nearest(exposure_id, table, outlines):
        correction = CorrectionOfPass.of(table, other)
        assert correction is not None
        try:
            seen.append(_Seen.read(objects, folder + other, correction))
        except DamagedProduct:  # not measured in this pass, or by another version
            continue
    return SharedOffsets.of(sources, seen)


def _nearest(exposure_id: str, table: SolvedTable, outlines: Outlines) -> list[str]:
    """Return the nearest others of the same component; without outlines the first ones."""
    own = table.component[table.id == exposure_id]
    names = [
        name for name in table.id[np.isin(table.component, own)].tolist() if name != exposure_id
    ]
    places = dict(
        zip(
            outlines.id.tolist(),
            zip(outlines.middle_ra.tolist(), outlines.middle_dec.tolist(), strict=True),
            strict=True,
        )
    )
    here = places.get(exposure_id)

    def away(name: str) -> float:
        there = places.get(name)
        if here is None or there is None:
            return float("inf")
        east = (there[0] - here[0] + 180.0) % 360.0 - 180.0
        return float(np.hypot(east * np.cos(np.radians(here[1])), there[1] - here[1]))

    return sorted(names, key=lambda name: (away(name), name))[:MOST_OTHERS]
