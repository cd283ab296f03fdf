"""A place is a path or a URL; it is a plain value, and never holds a secret."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from alignsvc.errors import ConfigError
from alignsvc.io.places import UrlPlace, common_folder, folder_place, lies_in, place_of, run_place


def test_a_text_with_a_scheme_is_a_url_and_any_other_a_path() -> None:
    assert place_of("s3://bucket/runs/one/") == UrlPlace("s3://bucket/runs/one")
    assert place_of("runs/one") == Path("runs/one").absolute()
    assert place_of("/a:b//c") == Path("/a:b/c")


def test_a_url_has_the_parts_of_a_path() -> None:
    place = UrlPlace("s3://bucket/runs") / "one" / "wcs/a.fits.gz"
    assert (place.scheme, place.bucket, place.key) == ("s3", "bucket", "runs/one/wcs/a.fits.gz")
    assert (place.name, place.suffix) == ("a.fits.gz", ".gz")
    assert str(place.parent) == "s3://bucket/runs/one/wcs"
    assert UrlPlace("s3://bucket").parent == UrlPlace("s3://bucket")


def test_places_are_compared_pickled_and_printed_by_their_url() -> None:
    place = UrlPlace("gs://bucket/a")
    assert pickle.loads(pickle.dumps(place)) == place  # noqa: S301
    assert place == UrlPlace("gs://bucket/a/")
    assert {place: 1}[UrlPlace("gs://bucket/a")] == 1
    assert str(place) == "gs://bucket/a"


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("s3://key:secret@bucket/a", "user name or password"),
        ("https://secret@host/a.fits", "user name or password"),
        ("https://host/a.fits?X-Amz-Signature=secret", "signatures expire"),
        ("https://host/a.fits#secret", "goes on with"),
        ("memory://secrets/a", "memory:// is not offered"),
        ("ftp://host/a", "ftp:// is not offered"),
        ("s3:///a", "names no bucket"),
        ("s3://bucket:9000/a", "a bucket has no port.*AWS_ENDPOINT_URL"),
        ("http://host:first/a", "not a URL"),
        ("s3://bucket/../other", r"'\.\.'"),
        ("s3://bucket//a", "'//'"),
    ],
)
def test_what_no_url_may_be_is_refused_and_no_secret_is_told(url: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said) as caught:
        place_of(url)
    assert "secret@" not in str(caught.value) and "=secret" not in str(caught.value)


def test_a_path_makes_no_detour_but_by_links(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "night").mkdir()
    (tmp_path / "far/off").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "far/off")
    monkeypatch.chdir(tmp_path / "night")
    assert place_of("../runs/./first") == tmp_path / "runs/first"
    assert place_of("../far/off/../../runs") == tmp_path / "runs"
    assert place_of("../link/../runs") == tmp_path / "link/../runs"  # which is far/runs
    assert place_of("/../runs") == Path("/runs")


def test_no_name_leads_out_of_a_place() -> None:
    for name in ("..", "../b", "a/../../b", "a//b"):
        with pytest.raises(ConfigError):
            UrlPlace("s3://bucket/a") / name


def test_a_run_is_kept_where_one_can_write() -> None:
    assert run_place("s3://bucket/run") == UrlPlace("s3://bucket/run")
    with pytest.raises(ConfigError, match=r"run.directory: https://host/run: a run cannot be kept"):
        run_place("https://host/run")


def test_what_lies_in_what_is_told_by_whole_names(tmp_path: Path) -> None:
    run = UrlPlace("s3://bucket/run")
    assert lies_in(run / "a", run) and lies_in(run, run)
    assert not lies_in(UrlPlace("s3://bucket/run2/a"), run)
    assert not lies_in(tmp_path, run) and not lies_in(run, tmp_path)
    (tmp_path / "link").symlink_to(tmp_path)
    assert lies_in(tmp_path / "link" / "a", tmp_path)


def test_the_folder_that_all_share() -> None:
    assert common_folder([Path("/a/b/x"), Path("/a/c/y")]) == "/a"
    run = UrlPlace("s3://bucket/run/wcs")
    assert common_folder([run / "n1/x", run / "n2/y"]) == str(run)
    assert common_folder([run / "n1/x"]) == str(run / "n1")
    assert common_folder([Path("/x"), Path("/y")]) == "/"


def test_files_are_written_to_folders_and_buckets_and_never_behind_a_plain_server() -> None:
    assert folder_place("s3://bucket/out") == UrlPlace("s3://bucket/out")
    assert folder_place("out") == Path("out").absolute()
    with pytest.raises(ConfigError, match="https://host/out: nothing can be written behind https"):
        folder_place("https://host/out")
