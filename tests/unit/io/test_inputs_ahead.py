"""What is read for the next task is found by it, and by nobody else; nothing follows from it."""

from __future__ import annotations

import gzip
import io
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from exposure_samples import PLAIN, image, write
from object_servers import Site, http_site, hurry

from alignsvc.domain.exposure import ExposureRef
from alignsvc.errors import DataError
from alignsvc.io import bucket_clients
from alignsvc.io.exposure_files import ExposureCandidate
from alignsvc.io.exposure_headers import inspect_exposure
from alignsvc.io.exposure_pixels import read_exposure
from alignsvc.io.inputs_ahead import FarFiles, Working, far_files, inputs_ahead
from alignsvc.io.remote_ranges import remote_file
from alignsvc.reasons import FailureKind

SHAPE = (600, 600)
PIXELS = {
    name: np.random.default_rng(k).normal(100.0, 5.0, SHAPE).astype(np.float32)
    for k, name in enumerate(("a", "b"))
}
PLENTY = 1e9


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Site]:
    hurry(monkeypatch)
    with http_site() as site:
        for name, pixels in PIXELS.items():
            path = write(tmp_path / f"{name}.fits", image(pixels, "SCI"))
            site.files[f"/{name}.fits"] = path.read_bytes()
        yield site
    inputs_ahead().forget()
    bucket_clients._made.cache_clear()


def ref_of(site: Site, name: str) -> ExposureRef:
    url = f"{site.address}/{name}.fits"
    return inspect_exposure(ExposureCandidate(name, (url,)), PLAIN).ref


def work_on(
    ref: ExposureRef,
    following: Callable[[], FarFiles | None] = tuple,
    until: Callable[[], bool] = lambda: True,
) -> np.ndarray:
    """Read an exposure, as a task does while another one waits, and work on it until then."""
    with inputs_ahead().while_working(Working(far_files(ref), following, PLENTY)):
        pixels = read_exposure(ref, PLAIN).chips[0].pixels
        wait_until(until)
    return pixels


def bytes_of(site: Site, name: str) -> int:
    asked = [line for line in site.asked if line.startswith(f"GET /{name}.fits")]
    parts = [line.rpartition("bytes=")[2].split("-") for line in asked]
    return sum(int(last) - int(first) + 1 for first, last in parts)


def is_asked(site: Site, name: str) -> bool:
    return any(f"{name}.fits" in line for line in site.asked)


def wait_until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.01)


def read_ahead_of(site: Site, ref: ExposureRef, following: ExposureRef) -> None:
    """Work on an exposure until the next one has been asked for whole."""
    site.asked.clear()
    name = following.id
    whole = len(site.files[f"/{name}.fits"])
    work_on(ref, lambda: far_files(following), lambda: bytes_of(site, name) >= whole - 2880)
    site.asked.clear()


def test_the_next_exposure_takes_one_trip_for_its_version(site: Site) -> None:
    a, b = ref_of(site, "a"), ref_of(site, "b")
    read_ahead_of(site, a, b)
    np.testing.assert_array_equal(work_on(b), PIXELS["b"])
    assert site.asked == ["HEAD /b.fits"]
    # It was let go of: who reads it again asks again.
    np.testing.assert_array_equal(work_on(b), PIXELS["b"])
    assert bytes_of(site, "b") > PIXELS["b"].nbytes


def test_a_file_that_has_changed_since_is_seen_to_have(site: Site) -> None:
    a, b = ref_of(site, "a"), ref_of(site, "b")
    read_ahead_of(site, a, b)
    file = io.BytesIO(site.files["/b.fits"])
    with fits.open(file) as hdus:
        hdus[1].header["CRVAL1"] = 11.0
        changed = io.BytesIO()
        hdus.writeto(changed)
    site.files["/b.fits"] = changed.getvalue()
    with pytest.raises(DataError) as caught:
        work_on(b)
    assert caught.value.kind is FailureKind.CHANGED


def test_pixels_that_have_changed_since_are_the_new_ones(site: Site) -> None:
    """Headers and sizes are those that were planned with: it is another version all the same."""
    a, b = ref_of(site, "a"), ref_of(site, "b")
    read_ahead_of(site, a, b)
    old, new = (one.astype(">f4").tobytes() for one in (PIXELS["b"], PIXELS["a"]))
    assert old in site.files["/b.fits"]
    site.files["/b.fits"] = site.files["/b.fits"].replace(old, new)
    np.testing.assert_array_equal(work_on(b), PIXELS["a"])


@pytest.mark.parametrize("status", [404, 403, 500])
def test_what_fails_ahead_fails_nobody_but_its_own_task(site: Site, status: int) -> None:
    a, b = ref_of(site, "a"), ref_of(site, "b")
    site.asked.clear()
    site.answers["/b.fits"] = [status] * 3  # as often as a client asks that is hurried
    pixels = work_on(a, lambda: far_files(b), lambda: is_asked(site, "b"))
    np.testing.assert_array_equal(pixels, PIXELS["a"])
    site.answers.clear()
    np.testing.assert_array_equal(work_on(b), PIXELS["b"])


def test_a_bad_file_is_read_ahead_in_vain_and_raises_in_its_turn(site: Site) -> None:
    a, b = ref_of(site, "a"), ref_of(site, "b")
    site.files["/b.fits"] = site.files["/b.fits"][:300_000]
    site.asked.clear()
    pixels = work_on(a, lambda: far_files(b), lambda: is_asked(site, "b"))
    np.testing.assert_array_equal(pixels, PIXELS["a"])
    with pytest.raises(DataError, match=r"b.fits: not readable as FITS: it is cut short"):
        work_on(b)


def test_what_was_read_for_a_task_that_is_done_elsewhere_is_let_go_of(site: Site) -> None:
    a, b = ref_of(site, "a"), ref_of(site, "b")
    read_ahead_of(site, a, b)
    work_on(a)
    assert not inputs_ahead().forget()


def test_no_more_is_asked_for_than_there_is_room_for(site: Site) -> None:
    a, b = ref_of(site, "a"), ref_of(site, "b")
    site.asked.clear()
    room = 400_000
    with inputs_ahead().while_working(Working(far_files(a), lambda: far_files(b), room)):
        read_exposure(a, PLAIN)
        wait_until(lambda: bytes_of(site, "b") > 0)
    pixels = work_on(b)
    np.testing.assert_array_equal(pixels, PIXELS["b"])
    parts = [line.rpartition("bytes=")[2] for line in site.asked if "GET /b" in line]
    ahead = [part for part in parts if int(part.partition("-")[2]) < room]
    sizes = [int(last) - int(first) + 1 for first, last in (one.split("-") for one in ahead)]
    assert 0 < sum(sizes) <= room
    assert bytes_of(site, "b") <= len(site.files["/b.fits"])  # and nothing twice


def test_it_is_looked_again_while_nothing_is_in_the_queue(site: Site) -> None:
    a, b = ref_of(site, "a"), ref_of(site, "b")
    queue: list[FarFiles | None] = [far_files(b), None, None]
    site.asked.clear()
    with inputs_ahead().while_working(Working(far_files(a), lambda: queue.pop(), PLENTY)):
        read_exposure(a, PLAIN)
        wait_until(lambda: bytes_of(site, "b") > PIXELS["b"].nbytes)
    assert not queue


def test_a_compressed_file_is_read_ahead_whole(site: Site) -> None:
    site.files["/b.fits"] = gzip.compress(site.files["/b.fits"])
    a, b = ref_of(site, "a"), ref_of(site, "b")
    read_ahead_of(site, a, b)
    np.testing.assert_array_equal(work_on(b), PIXELS["b"])
    assert site.asked == ["HEAD /b.fits"]


def test_nothing_is_read_ahead_where_exposures_lie_on_a_disk(site: Site, tmp_path: Path) -> None:
    near = inspect_exposure(ExposureCandidate("a", (str(tmp_path / "a.fits"),)), PLAIN).ref
    b = far_files(ref_of(site, "b"))
    site.asked.clear()

    def never() -> FarFiles:
        raise AssertionError("nobody asks what comes next")

    with inputs_ahead().while_working(Working(far_files(near), never, PLENTY)):
        read_exposure(near, PLAIN)
    assert not inputs_ahead().forget()
    assert b and not site.asked


def test_nothing_is_read_ahead_of_a_server_that_names_no_version(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is read could be of one version, and what is opened of the next."""
    a, b = ref_of(site, "a"), ref_of(site, "b")
    monkeypatch.setattr(
        "alignsvc.io.inputs_ahead.remote_file", lambda place: replace(remote_file(place), etag=None)
    )
    site.asked.clear()
    work_on(a, lambda: far_files(b), lambda: is_asked(site, "b"))
    assert bytes_of(site, "b") == 0
    np.testing.assert_array_equal(work_on(b), PIXELS["b"])
