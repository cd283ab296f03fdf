"""Inputs behind URLs are read as files on a disk are; what is wrong with one is said of it."""

from __future__ import annotations

import gzip
import io
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TypeVar
from unittest import mock

import numpy as np
import pytest
from astropy.io import fits
from hypothesis import given
from hypothesis import strategies as st
from object_servers import Site, http_site, hurry, objects_in, s3_bucket

from alignsvc.errors import ConfigError, DataError, TransientError
from alignsvc.io import bucket_clients, remote_ranges
from alignsvc.io.exposure_files import absolute_pattern, find_exposures
from alignsvc.io.fits_files import content_digest, open_fits
from alignsvc.io.fits_planes import read_plane
from alignsvc.io.image_settings import ImageSettings, Sidecar
from alignsvc.io.places import UrlPlace
from alignsvc.io.remote_files import matching
from alignsvc.io.remote_ranges import RangeStream, RemoteFile, remote_file
from alignsvc.reasons import FailureKind

K = TypeVar("K")
T = TypeVar("T")

PIXELS = np.arange(300 * 400, dtype=np.float32).reshape(300, 400)


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    hurry(monkeypatch)
    yield
    bucket_clients._made.cache_clear()


@pytest.fixture
def site() -> Iterator[Site]:
    with http_site() as site:
        yield site


def fits_bytes() -> bytes:
    hdus = [fits.PrimaryHDU(), fits.ImageHDU(PIXELS, name="SCI"), fits.CompImageHDU(PIXELS)]
    file = io.BytesIO()
    fits.HDUList(hdus).writeto(file)
    return file.getvalue()


def read(url: str) -> tuple[np.ndarray, int, str]:
    with open_fits(url) as file:
        return read_plane(file, 1), file.size, file.blocks.digest


@pytest.mark.parametrize("ranges", [True, False])
@pytest.mark.parametrize("name", ["a.fits", "night 1/ü+%.fits", "a.fits.gz"])
def test_a_file_behind_a_url_is_what_it_is_on_a_disk(
    site: Site, tmp_path: Path, name: str, ranges: bool
) -> None:
    content = fits_bytes() if name.endswith("fits") else gzip.compress(fits_bytes())
    quoted = name.replace("%", "%25").replace(" ", "%20").replace("ü", "%C3%BC")
    site.files[f"/{quoted}"], site.ranges = content, ranges
    path = tmp_path / name.rpartition("/")[2]
    path.write_bytes(content)
    pixels, size, digest = read(f"{site.address}/{quoted}")
    on_disk, size_on_disk, digest_on_disk = read(str(path))
    np.testing.assert_array_equal(pixels, on_disk)
    assert (size, digest) == (size_on_disk, digest_on_disk)  # hence one fingerprint
    assert content_digest(f"{site.address}/{quoted}") == content_digest(str(path))


def test_headers_are_read_without_the_pixels(site: Site) -> None:
    large = fits.HDUList([fits.PrimaryHDU(np.zeros((1000, 1000), np.float32))])
    file = io.BytesIO()
    large.writeto(file)
    site.files["/a.fits"] = file.getvalue()
    with open_fits(f"{site.address}/a.fits"):
        pass
    wanted = [line.rpartition("bytes=")[2].split("-") for line in site.asked if "bytes=" in line]
    assert sum(int(last) - int(first) + 1 for first, last in wanted) < 600_000


def test_of_a_large_file_the_parts_that_are_wanted_are_asked_for_at_once(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    planes = [np.full((200, 400), k, np.float32) for k in range(3)]
    file = io.BytesIO()
    fits.HDUList([fits.PrimaryHDU(), *(fits.ImageHDU(one) for one in planes)]).writeto(file)
    site.files["/a.fits"] = file.getvalue()
    part = planes[0].nbytes // 4
    monkeypatch.setattr("alignsvc.io.remote_ranges._PART", part)
    monkeypatch.setattr("alignsvc.io.remote_ranges._BUFFER", 2880)
    with open_fits(f"{site.address}/a.fits") as opened:
        site.asked.clear()
        site.let_meet(4)
        np.testing.assert_array_equal(read_plane(opened, 2), planes[1])
    wanted = [line.rpartition("bytes=")[2].split("-") for line in site.asked]
    asked = sum(int(last) - int(first) + 1 for first, last in wanted)
    assert len(wanted) >= 4 and asked < 1.1 * planes[1].nbytes  # of one plane of three


def test_no_byte_of_an_image_is_asked_for_twice(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After size and beginning all pixels come in one trip, however a FITS reader goes about."""
    file = io.BytesIO()
    fits.PrimaryHDU(PIXELS).writeto(file)
    site.files["/a.fits"] = file.getvalue()
    monkeypatch.setattr("alignsvc.io.remote_ranges._PART", PIXELS.nbytes // 3)
    monkeypatch.setattr("alignsvc.io.remote_ranges._BUFFER", 1 << 15)
    with open_fits(f"{site.address}/a.fits") as opened:
        assert len(site.asked) == 2
        site.let_meet(3)
        np.testing.assert_array_equal(read_plane(opened, 0), PIXELS)
    wanted = sorted(
        tuple(map(int, line.rpartition("bytes=")[2].split("-"))) for line in site.asked[1:]
    )
    assert [first for first, _ in wanted] == [0, *(last + 1 for _, last in wanted[:-1])]
    assert wanted[-1][1] < len(file.getvalue())


def test_each_header_of_a_file_is_asked_for_once(site: Site) -> None:
    """Its blocks are digested after they were read: that takes no further trip."""
    large = np.zeros((200, 400), np.float32)
    file = io.BytesIO()
    fits.HDUList([fits.PrimaryHDU(), *(fits.ImageHDU(large) for _ in range(4))]).writeto(file)
    site.files["/a.fits"] = file.getvalue()
    with open_fits(f"{site.address}/a.fits"):
        pass
    assert len(site.asked) == 1 + 1 + 3  # size, beginning, second to last image


def test_a_gzipped_file_takes_no_more_trips_than_a_plain_one(site: Site) -> None:
    noise = np.random.default_rng(0).normal(size=(400, 400)).astype(np.float32)
    file = io.BytesIO()
    fits.PrimaryHDU(noise).writeto(file)
    site.files["/a.fits.gz"] = gzip.compress(file.getvalue())
    with open_fits(f"{site.address}/a.fits.gz") as opened:
        np.testing.assert_array_equal(read_plane(opened, 0), noise)
    assert len(site.asked) == 3  # size, beginning, the rest


@given(st.data())
def test_a_stream_gives_what_the_file_has_wherever_it_is_read(data: st.DataObject) -> None:
    content = bytes(np.random.default_rng(0).integers(0, 256, 5000, np.uint8))
    place = st.integers(0, 5200)
    steps = data.draw(st.lists(st.tuples(place, st.integers(0, 1500), st.booleans()), max_size=8))
    stream = RangeStream(RemoteFile(UrlPlace("https://x/a"), len(content), None))
    fails = data.draw(st.booleans())

    def asked(file: RemoteFile, part: tuple[int, int]) -> bytes:
        assert part[0] < part[1] <= len(content)
        if fails and threading.current_thread() is not threading.main_thread():
            raise TransientError("ahead of time, which is nobody's business")
        return content[slice(*part)]

    def at_once(do: Callable[[K], T], items: Iterable[K], n_ahead: int) -> Iterator[T]:
        return map(do, items)

    with mock.patch.multiple(
        remote_ranges, asked=asked, read_ahead=at_once, _BUFFER=200, _PART=400
    ):
        reader = io.BufferedReader(stream, 200)
        for at, n, is_ahead in steps:
            if is_ahead:
                stream.ask_for(at, at + n)
                continue
            reader.seek(at)
            assert reader.read(n) == content[at : at + n]
        reader.seek(0)
        assert reader.read() == content
        assert stream.kept_bytes <= 3 * len(content)
    reader.close()


@pytest.mark.parametrize(
    ("status", "kind", "said"),
    [
        (404, FailureKind.MISSING, r"does not exist \(404\); mend the URL"),
        (403, FailureKind.UNREADABLE, r"refuses to give it \(403\).* credentials"),
        (401, FailureKind.UNREADABLE, r"refuses to give it \(40[13]\).* credentials"),
        (410, FailureKind.UNREADABLE, r"refuses to give it \(410\)"),
    ],
)
def test_a_file_that_is_not_given_fails_and_is_named(
    site: Site, status: int, kind: FailureKind, said: str
) -> None:
    url = f"{site.address}/a.fits"
    site.files["/a.fits"], site.answers["/a.fits"] = fits_bytes(), [status] * 20
    with pytest.raises(DataError, match=said) as caught:
        read(url)
    assert caught.value.kind is kind
    assert str(caught.value).startswith(url)


def test_a_server_that_stumbles_is_asked_again(site: Site) -> None:
    site.files["/a.fits"], site.answers["/a.fits"] = fits_bytes(), [503, 500]
    np.testing.assert_array_equal(read(f"{site.address}/a.fits")[0], PIXELS)


def test_a_server_that_lies_down_is_no_fault_of_the_file(site: Site) -> None:
    site.files["/a.fits"], site.answers["/a.fits"] = fits_bytes(), [500] * 50
    with pytest.raises(TransientError, match=r"a.fits: the server did not answer well.* try again"):
        read(f"{site.address}/a.fits")


def test_no_server_is_no_fault_of_the_file_either() -> None:
    with pytest.raises(TransientError, match=r"http://127.0.0.1:9/a.fits: the server did not"):
        read("http://127.0.0.1:9/a.fits")


@pytest.mark.parametrize("ranges", [True, False])
def test_a_file_that_changes_while_it_is_read_is_refused(site: Site, ranges: bool) -> None:
    site.files["/a.fits"], site.ranges = fits_bytes(), ranges
    url = f"{site.address}/a.fits"
    with pytest.raises(DataError, match="changed while it was read") as caught, open_fits(url):
        site.files["/a.fits"] = site.files["/a.fits"] + b" " * 2880
        content_digest_of_old(url, len(fits_bytes()))
    assert caught.value.kind is FailureKind.CHANGED


def content_digest_of_old(url: str, size: int) -> None:
    """Read a file as somebody who asked for its size before it changed."""
    from dataclasses import replace

    from alignsvc.io.places import UrlPlace
    from alignsvc.io.remote_files import raw_remote

    with raw_remote(replace(remote_file(UrlPlace(url)), size=size, etag=None)) as stream:
        stream.read()


@pytest.mark.parametrize(
    ("content", "kind", "said"),
    [
        (b"", FailureKind.EMPTY, "empty"),
        (b"<html>Sorry</html>", FailureKind.UNREADABLE, "not readable as FITS"),
        (fits_bytes()[:50_000], FailureKind.UNREADABLE, "cut short"),
        (gzip.compress(fits_bytes())[:-9], FailureKind.UNREADABLE, "gzip"),
    ],
)
def test_bad_files_are_as_bad_behind_a_url(
    site: Site, content: bytes, kind: FailureKind, said: str
) -> None:
    site.files["/a.fits"] = content
    with pytest.raises(DataError, match=said) as caught:
        read(f"{site.address}/a.fits")
    assert caught.value.kind is kind


PLAIN = ImageSettings()


def test_ids_are_what_urls_do_not_share() -> None:
    urls = ("https://host/data/n1/a.fits", "https://host/data/n2/a.fits.gz")
    assert [c.id for c in find_exposures(urls, PLAIN).candidates] == ["n1/a", "n2/a"]
    (both, other) = find_exposures((urls[0], "https://elsewhere/b.fits"), PLAIN).candidates
    assert [both.id, other.id] == ["elsewhere/b", "host/data/n1/a"]
    assert absolute_pattern(urls[0]) == urls[0]


def test_sidecars_lie_beside_their_file_there_too() -> None:
    assert Sidecar("ooi", "oow").path_for("s3://b/ooi/x_ooi.fits") == "s3://b/ooi/x_oow.fits"
    urls = ("https://host/x_ooi.fits", "https://host/x_oow.fits")
    settings = ImageSettings(weight=Sidecar("ooi", "oow"))
    assert [c.files for c in find_exposures(urls, settings).candidates] == [(urls[0],)]


@pytest.mark.parametrize(
    ("urls", "said"),
    [
        (("https://host/*.fits",), "cannot be listed"),
        (("https://host/a.fits", "https://host/a.fits"), "given twice"),
        (("https://me:secret@host/a.fits",), "user name or password"),
        (("ftp://host/a.fits",), "not offered"),
    ],
)
def test_urls_that_cannot_be_meant_are_errors(urls: tuple[str, ...], said: str) -> None:
    with pytest.raises(ConfigError, match=said) as caught:
        find_exposures(urls, PLAIN)
    assert "secret" not in str(caught.value)


@pytest.mark.cluster
def test_patterns_stand_for_objects_of_a_bucket() -> None:
    with s3_bucket() as bucket:
        objects = objects_in(bucket)
        for name in ("a.fits", "b.fits", "c.fit", ".d.fits", "n/e.fits", "n/m/f.fits", "n[1].fits"):
            objects.put(name, fits_bytes())
        top = f"s3://{bucket}/runs/one"

        def found(pattern: str) -> list[str]:
            return [url.removeprefix(f"{top}/") for url in matching(f"{top}/{pattern}")]

        assert found("*.fits") == ["a.fits", "b.fits", "n[1].fits"]
        assert found("[ab].fits") == ["a.fits", "b.fits"]
        assert found("**/*.fits") == ["a.fits", "b.fits", "n/e.fits", "n/m/f.fits", "n[1].fits"]
        assert found("*/e.fits") == ["n/e.fits"]
        assert found("x*") == []
        with pytest.raises(ConfigError, match="matches no object"):
            find_exposures((f"{top}/x*",), PLAIN)
        ids = [one.id for one in find_exposures((f"{top}/n/**/*.fits",), PLAIN).candidates]
        assert ids == ["e", "m/f"]
        np.testing.assert_array_equal(read(f"{top}/n/m/f.fits")[0], PIXELS)
