"""What a run knows of the run that it extends: copied at the beginning, so that it can go."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from alignsvc.domain.chip_shifts import ChipShifts
from alignsvc.domain.correction import N_PARAMETERS, Correction, Geometry
from alignsvc.domain.digest import digest_of
from alignsvc.domain.exposure import ExposureLevel
from alignsvc.domain.geometry import TangentPlane
from alignsvc.domain.grid import MosaicGrid, TileId
from alignsvc.domain.outcome import Status, Verdict
from alignsvc.domain.result import FitQuality
from alignsvc.domain.task import TableRef
from alignsvc.errors import RunStoreError
from alignsvc.io.codec import json_from, sealed, unsealed, value_from
from alignsvc.io.exposure_headers import ExposureHeader
from alignsvc.io.journal import ExposureEnded
from alignsvc.io.locations import TABLES
from alignsvc.io.objects import ObjectStore
from alignsvc.reasons import FailureKind
from alignsvc.wording import counted

_NAME = f"{TABLES}earlier.json"


@dataclass(frozen=True, slots=True)
class KnownChip:
    """A chip with an offset of its own: that, arcsec, and the covariance of its total, by rows."""

    shift: tuple[float, float]
    covariance: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class KnownExposure:
    """An exposure that the earlier run aligned.

    Parameters
    ----------
    id : str
        There.
    files : tuple of str
        Its science files, absolute, in order.
    fingerprint : str
        Of the files as they are now.
    plane : TangentPlane
        In which its correction acts.
    parameters : tuple of float
        Of its total correction since the header as it is now, in the order of `PARAMETERS`.
    zero : tuple of float or None
        From where the gauge counts, since the header as it is now: where matching put the
        exposure, or what takes a correction that was written in place out again. None: from the
        header.
    geometry : Geometry
    covariance : tuple of float
        (6, 6) of the total, row by row.
    quality : FitQuality
    verdict : Verdict
    level : ExposureLevel
    chips : tuple of KnownChip
        One a chip where chips have offsets; otherwise empty.
    rays : TableRef or None
        Its cosmic rays.
    tiles : tuple of TileId
        In which it has weight, in the earlier run's mosaic; empty if that was not kept.
    """

    id: str
    files: tuple[str, ...]
    fingerprint: str
    plane: TangentPlane
    parameters: tuple[float, ...]
    zero: tuple[float, ...] | None
    geometry: Geometry
    covariance: tuple[float, ...]
    quality: FitQuality
    verdict: Verdict
    level: ExposureLevel
    chips: tuple[KnownChip, ...]
    rays: TableRef | None
    tiles: tuple[TileId, ...]

    @property
    def total(self) -> Correction:
        """Its total correction since the header as it is now."""
        covariance = np.array(self.covariance).reshape(N_PARAMETERS, N_PARAMETERS)
        return Correction.from_parameters(
            self.plane, np.array(self.parameters), self.geometry, covariance
        )

    @property
    def start(self) -> Correction | None:
        """From where the gauge counts; None = the header."""
        if self.zero is None:
            return None
        return Correction.from_parameters(self.plane, np.array(self.zero), self.geometry)

    @property
    def chip_shifts(self) -> ChipShifts | None:
        """Where its chips stand besides; None if none has an offset."""
        if not self.chips:
            return None
        covariance = np.array([one.covariance for one in self.chips])
        return ChipShifts(
            np.array([one.shift for one in self.chips]),
            covariance.reshape(-1, N_PARAMETERS, N_PARAMETERS),
        )


@dataclass(frozen=True, slots=True)
class LostExposure:
    """An exposure that the earlier run aligned, and whose files are not what they were."""

    id: str
    kind: FailureKind
    message: str
    tiles: tuple[TileId, ...]


@dataclass(frozen=True, slots=True)
class KeptMosaic:
    """The earlier run's mosaic: its grids, its number there, and the checksum of each tile."""

    grids: tuple[MosaicGrid, ...]
    generation: int
    checksums: tuple[tuple[TileId, str], ...]


@dataclass(frozen=True, slots=True)
class EarlierRun:
    """The run that is extended.

    Parameters
    ----------
    directory : str
        Where it was; for people.
    identity : str
    is_frozen : bool
        Whether its corrections hold the frame, or are only where the loop begins.
    exposures : tuple of KnownExposure
        In order of their ids there.
    lost : tuple of LostExposure
    others : tuple of str
        Files of exposures that it did not align, though they were sound, and that may be aligned
        now.
    n_left_out : int
        Exposures of that kind that nothing new overlaps: with frozen others nothing changes.
    mosaic : KeptMosaic or None
        None: it kept none, or nothing of it stays as it is.
    """

    directory: str
    identity: str
    is_frozen: bool
    exposures: tuple[KnownExposure, ...]
    lost: tuple[LostExposure, ...]
    others: tuple[str, ...]
    n_left_out: int
    mosaic: KeptMosaic | None

    @property
    def digest(self) -> str:
        """Digest of all that numbers follow from; not of names of files, nor of ids."""
        known = tuple(
            (
                *(one.fingerprint, one.plane, one.parameters, one.zero, one.geometry),
                *(one.covariance, one.level, one.chips),
                *(one.rays and one.rays.checksum, one.tiles),
            )
            for one in sorted(self.exposures, key=lambda one: (one.fingerprint, one.parameters))
        )
        lost = tuple(sorted(one.tiles for one in self.lost))
        return digest_of(self.identity, self.is_frozen, known, lost, self.mosaic)

    @property
    def files(self) -> tuple[str, ...]:
        """All files that join those of the configuration."""
        known = [file for one in self.exposures for file in one.files]
        return (*known, *self.others)

    def notes(self, moving: Sequence[KnownExposure | None], n_idle: int) -> tuple[str, ...]:
        """Return what the user should know.

        Parameters
        ----------
        moving : sequence of KnownExposure or None
            What it knows of each exposure that is aligned now.
        n_idle : int
            Exposures that no task reads.
        """
        how = f"frozen, {n_idle} of them not read" if self.is_frozen else "where the loop begins"
        n_new = sum(one is None for one in moving)
        said = [f"extends {self.directory}: {len(self.exposures)} old ({how}), {n_new} new"]
        if self.is_frozen and self.mosaic is None:
            said.append(f"{self.directory} kept no mosaic: every tile is made again")
        if self.n_left_out:
            said.append(
                f"{counted(self.n_left_out, 'exposure')} that {self.directory} did not align left "
                "out, as nothing new is near; to try again, name what is missing in images.paths"
            )
        said += [one.message for one in self.lost]
        return tuple(said)

    def lost_among(self, headers: Sequence[ExposureHeader]) -> tuple[ExposureEnded, ...]:
        """Return the exposures whose files are not what they were.

        One of which there is a file of the same id is that, and aligned anew.
        """
        taken = {header.ref.id for header in headers}
        return tuple(
            ExposureEnded(one.id, Status.FAILED, one.kind.value, one.message)
            for one in self.lost
            if one.id not in taken
        )

    def known_among(self, headers: Sequence[ExposureHeader]) -> Mapping[str, KnownExposure]:
        """Return which exposures it knows, by their present ids.

        A file is known by its fingerprint, wherever it lies and whatever its id has become; of
        several with one fingerprint the one whose files have the known names.
        """
        by_fingerprint: dict[str, list[KnownExposure]] = {}
        for one in self.exposures:
            by_fingerprint.setdefault(one.fingerprint, []).append(one)
        found: dict[str, KnownExposure] = {}
        moved: list[ExposureHeader] = []
        for header in headers:
            same = by_fingerprint.get(header.ref.fingerprint, [])
            own = [one for one in same if one.files == science_files(header)]
            if own:
                found[header.ref.id] = own[0]
                same.remove(own[0])
            else:
                moved.append(header)
        for header in moved:
            left = by_fingerprint.get(header.ref.fingerprint, [])
            if left:
                found[header.ref.id] = left.pop(0)
        return found

    def store(self, objects: ObjectStore) -> TableRef:
        """Write it down; what is written once stays."""
        data = json_from(self, EarlierRun)
        assert isinstance(data, dict)
        objects.put_if_absent(_NAME, sealed(data))
        return TableRef(_NAME, hashlib.sha256(objects.get(_NAME)).hexdigest())


def stored_earlier(objects: ObjectStore) -> EarlierRun | None:
    """Return what `EarlierRun.store` wrote; None if nothing was.

    Raises
    ------
    RunStoreError
        It is damaged.
    """
    content = objects.find(_NAME)
    if content is None:
        return None
    try:
        return value_from(unsealed(content), EarlierRun)
    except (TypeError, ValueError) as error:
        raise RunStoreError(f"{_NAME} is damaged ({error}); start a new run") from error


def science_files(header: ExposureHeader) -> tuple[str, ...]:
    """Return the files of an exposure's science images, in order."""
    return tuple(dict.fromkeys(chip.science.uri for chip in header.ref.chips))
