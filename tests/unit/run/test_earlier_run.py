"""What a run keeps of the one that it extends."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_kept_tiles import earlier, known

from alignsvc.domain.correction import Geometry
from alignsvc.domain.exposure import ChipRef, ExposureLevel, ExposureRef, HduRef
from alignsvc.errors import RunStoreError
from alignsvc.io.exposure_headers import ExposureHeader
from alignsvc.io.objects import LocalObjects
from alignsvc.run.planning.earlier_run import KnownChip, stored_earlier
from alignsvc.run.planning.plan import PlannedExposure
from alignsvc.run.stages.loop_state import LoopState


def header(name: str, file: str, fingerprint: str) -> ExposureHeader:
    chip = ChipRef("HDU 0", HduRef(file, 0), (10, 10))
    return ExposureHeader(ExposureRef(name, (chip,), fingerprint), (), ())


def test_it_is_stored_with_every_bit_and_read_back(tmp_path: Path) -> None:
    numbers = np.array([0.0, 0, 1, 0, 0, 1]) + 1e-3 * np.random.default_rng(3).normal(size=6)
    one = replace(known(0), parameters=tuple(numbers.tolist()), covariance=(np.pi,) * 36)
    run = earlier([one, known(1)])
    objects = LocalObjects(tmp_path)
    assert stored_earlier(objects) is None
    table = run.store(objects)
    found = stored_earlier(objects)
    assert found is not None
    assert found.digest == run.digest
    assert found.exposures[0].total.parameters.tobytes() == numbers.tobytes()
    objects.put(table.name, objects.get(table.name).replace(b"3.14", b"3.15"))
    with pytest.raises(RunStoreError, match="is damaged"):
        stored_earlier(objects)


@pytest.mark.parametrize(
    "change",
    [
        {"fingerprint": "x"},
        {"parameters": (0.1, 0.0, 1.0, 0.0, 0.0, 1.0)},
        {"zero": (0.0, 0.0, 1.0, 0.0, 0.0, 1.0)},
        {"covariance": (1.0,) * 36},
        {"tiles": ()},
        {"level": ExposureLevel(1.5, 0.0)},
        {"chips": (KnownChip((0.1, 0.0), (0.0,) * 36),)},
    ],
    ids=lambda change: next(iter(change)),
)
def test_what_numbers_follow_from_is_in_its_digest(change: dict[str, Any]) -> None:
    run = earlier([known(0), known(1)])
    other = replace(run, exposures=(replace(known(0), **change), known(1)))
    assert other.digest != run.digest


def test_the_loop_begins_with_what_was_known_of_brightness_and_chips() -> None:
    chips = (KnownChip((0.1, -0.2), (0.5,) * 36), KnownChip((-0.1, 0.2), (0.5,) * 36))
    one = replace(known(0), level=ExposureLevel(1.5, 0.25), chips=chips)
    exposure = PlannedExposure(header("a", "/a.fits", "0"), 0, one.plane, known=one)
    standing = LoopState.at_start([exposure], Geometry.SHIFT).standing_of("a")
    assert standing.level == ExposureLevel(1.5, 0.25)
    assert standing.chip_shifts == ((0.1, -0.2), (-0.1, 0.2))


def test_names_and_places_of_files_are_not() -> None:
    run = earlier([known(0), known(1)])
    moved = replace(known(0), id="night1/exp0", files=("/elsewhere/exp0.fits",))
    assert replace(run, directory="moved", exposures=(moved, known(1))).digest == run.digest
    assert replace(run, is_frozen=False).digest != run.digest


def test_a_file_is_known_by_its_fingerprint_whatever_it_is_called_now() -> None:
    run = earlier([known(0), known(1)])
    found = run.known_among([header("a/x", "/new/x.fits", "1"), header("a/y", "/new/y.fits", "9")])
    assert {name: one.id for name, one in found.items()} == {"a/x": "exp1"}


def test_of_files_with_one_fingerprint_each_is_what_its_name_says() -> None:
    """Two exposures whose headers are the same and whose pixels are not."""
    twins = [known(0), replace(known(1), fingerprint="0")]
    headers = [header("q", "/data/exp1.fits", "0"), header("r", "/data/exp0.fits", "0")]
    found = earlier(twins).known_among(headers)
    assert {name: one.id for name, one in found.items()} == {"q": "exp1", "r": "exp0"}
