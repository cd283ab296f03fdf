"""Of an exposure far away the next chip is on its way while one is worked on."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from exposure_samples import PLAIN, image, write
from object_servers import Site, http_site, hurry

from alignsvc.domain.exposure import ExposureRef
from alignsvc.errors import DataError
from alignsvc.io import bucket_clients
from alignsvc.io.exposure_files import ExposureCandidate
from alignsvc.io.exposure_headers import inspect_exposure
from alignsvc.io.exposure_pixels import opened_exposure, read_exposure
from alignsvc.io.remote_ranges import RangeStream
from alignsvc.reasons import FailureKind

SHAPE = (500, 500)
CHIPS = [np.random.default_rng(k).normal(100.0, 5.0, SHAPE).astype(np.float32) for k in range(3)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write(tmp_path / "a.fits", *(image(one, "SCI", k) for k, one in enumerate(CHIPS, 1)))


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch, path: Path) -> Iterator[Site]:
    hurry(monkeypatch)
    with http_site() as site:
        site.files["/a.fits"] = path.read_bytes()
        yield site
    bucket_clients._made.cache_clear()


def ref_of(file: str) -> ExposureRef:
    return inspect_exposure(ExposureCandidate("x", (file,)), PLAIN).ref


def bytes_of(site: Site, chip: int) -> int:
    """Return how many bytes of a chip's last 400 rows the site was asked for."""
    content, ny, nx = site.files["/a.fits"], *SHAPE
    end = content.index(CHIPS[chip].astype(">f4").tobytes()) + 4 * ny * nx
    start = end - 4 * 400 * nx
    asked = [line.rpartition("bytes=")[2].split("-") for line in site.asked if "bytes=" in line]
    parts = [(max(int(first), start), min(int(last) + 1, end)) for first, last in asked]
    return sum(max(0, last - first) for first, last in parts)


def wait_for(site: Site, chip: int) -> None:
    end = time.monotonic() + 30
    while bytes_of(site, chip) < 4 * 400 * SHAPE[1]:
        assert time.monotonic() < end, f"nobody asks for chip {chip}"
        time.sleep(0.01)


def test_one_chip_ahead_is_asked_for_and_no_more(site: Site) -> None:
    ref = ref_of(f"{site.address}/a.fits")
    site.asked.clear()
    with opened_exposure(ref, PLAIN) as opened:
        chips = opened.chips((0, 1, 2))
        np.testing.assert_array_equal(next(chips).read().pixels, CHIPS[0])
        wait_for(site, 1)
        assert bytes_of(site, 2) == 0
        np.testing.assert_array_equal(next(chips).read().pixels, CHIPS[1])
        np.testing.assert_array_equal(next(chips).read().pixels, CHIPS[2])
    assert [bytes_of(site, k) for k in range(3)] == [4 * 400 * SHAPE[1]] * 3


def test_who_reads_all_chips_twice_asks_for_them_once(site: Site) -> None:
    """The sky is measured first, then the chips are placed."""
    ref = ref_of(f"{site.address}/a.fits")
    site.asked.clear()
    with opened_exposure(ref, PLAIN) as opened:
        opened.read()
        for chip, wanted in zip(opened.chips((1, 2)), CHIPS[1:], strict=True):
            np.testing.assert_array_equal(chip.read().pixels, wanted)
    assert [bytes_of(site, k) for k in range(3)] == [4 * 400 * SHAPE[1]] * 3


def test_what_is_wrong_with_a_chip_is_raised_in_its_turn(site: Site) -> None:
    ref = ref_of(f"{site.address}/a.fits")
    with opened_exposure(ref, PLAIN) as opened:
        chips = opened.chips((0, 1, 2))
        np.testing.assert_array_equal(next(chips).read().pixels, CHIPS[0])
        wait_for(site, 1)
        site.files["/a.fits"] += b" " * 2880
        with pytest.raises(DataError, match="changed while it was read") as caught:
            list(chips)
    assert caught.value.kind is FailureKind.CHANGED


def test_files_on_a_disk_are_asked_for_nothing(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(RangeStream, "ask_for")
    exposure = read_exposure(ref_of(str(path)), PLAIN)
    np.testing.assert_array_equal(exposure.chips[2].pixels, CHIPS[2])
