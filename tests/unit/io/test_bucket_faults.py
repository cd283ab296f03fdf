"""Answers of an object server are lost, late or cut; what was asked for happens once, or is named.

The server is real enough for its conditions (`If-None-Match`); the faults are a proxy's.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from faulty_proxy import PASSING, Fault, FaultyProxy, always, faulty_proxy, once
from object_servers import hurry, objects_in, s3_bucket, use_server

from alignsvc.errors import ConfigError, RunStoreError, TransientError
from alignsvc.io import bucket_clients
from alignsvc.io.buckets import BucketObjects
from alignsvc.io.exposure_files import find_exposures
from alignsvc.io.image_settings import ImageSettings
from alignsvc.io.places import UrlPlace
from alignsvc.run.records.run_directory import require_usable

pytestmark = pytest.mark.cluster


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with s3_bucket():
        yield os.environ["AWS_ENDPOINT_URL"]


@pytest.fixture
def proxy(server: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultyProxy]:
    hurry(monkeypatch)
    with faulty_proxy(server) as proxy:
        use_server(monkeypatch, proxy.address)
        yield proxy
    bucket_clients._made.cache_clear()


@pytest.fixture
def objects(proxy: FaultyProxy) -> Iterator[BucketObjects]:
    objects = objects_in("bucket")
    yield objects
    proxy.plan = always(Fault.NONE)
    objects.delete_below("")


@pytest.mark.parametrize("fault", PASSING)
def test_what_is_asked_for_happens_though_an_answer_is_lost(
    proxy: FaultyProxy, objects: BucketObjects, fault: Fault
) -> None:
    proxy.plan = lambda method, path, before: fault if before == 0 else Fault.NONE
    objects.put("a", b"content" * 1000)
    assert objects.get("a") == b"content" * 1000
    assert objects.exists("a") and not objects.exists("b")
    objects.copy(objects, "a", "c/d")
    assert objects.list("") == ("a", "c/d")
    assert objects.folders("") == ("c",)
    objects.delete("a")
    objects.delete_below("c/")
    assert objects.list("") == ()
    assert proxy.happened[fault] >= 6


@pytest.mark.parametrize("fault", PASSING)
def test_who_put_an_absent_object_knows_it_though_the_answer_is_lost(
    proxy: FaultyProxy, objects: BucketObjects, fault: Fault
) -> None:
    proxy.plan = once(fault, "PUT")
    assert objects.put_if_absent("journal/00000001.json", b"mine")
    assert not objects.put_if_absent("journal/00000001.json", b"mine")  # another's, though equal
    assert objects.get("journal/00000001.json") == b"mine"
    assert proxy.happened[fault] == 1


def test_an_answer_that_does_not_come_is_not_waited_for(
    proxy: FaultyProxy, objects: BucketObjects, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bucket_clients, "_TIMEOUT", bucket_clients._TIMEOUT / 600)
    bucket_clients._made.cache_clear()
    proxy.plan = lambda method, path, before: Fault.SLOW if before == 0 else Fault.NONE
    assert objects.put_if_absent("a", b"mine")
    assert objects.get("a") == b"mine"
    assert proxy.happened[Fault.SLOW] == 2


@pytest.mark.parametrize("fault", [Fault.REFUSED, Fault.UNHEARD])
def test_a_server_that_stays_away_is_named_with_what_was_wanted(
    proxy: FaultyProxy, objects: BucketObjects, fault: Fault
) -> None:
    proxy.plan = always(fault)
    for use, doing in (
        (lambda: objects.put("tables/a.npz", b""), "writing tables/a.npz"),
        (lambda: objects.put_if_absent("tables/a.npz", b""), "writing tables/a.npz"),
        (lambda: objects.find("tables/a.npz"), "reading tables/a.npz"),
        (lambda: objects.list("tables/"), "listing tables/"),
        (lambda: objects.delete("tables/a.npz"), "deleting tables/a.npz"),
    ):
        with pytest.raises(TransientError, match=f"s3://bucket/runs/one: {doing}: .* then resume"):
            use()


def test_who_is_refused_hears_of_credentials_and_sees_none(
    proxy: FaultyProxy, objects: BucketObjects
) -> None:
    proxy.plan = always(Fault.FORBIDDEN)
    with pytest.raises(RunStoreError, match=r"reading a: refused .* check the credentials") as told:
        objects.get("a")
    assert "nobody-must-see-this" not in str(told.value)
    assert "nobody-must-see-this" not in repr(objects)


@pytest.mark.parametrize(
    ("fault", "error", "said"),
    [
        (Fault.FORBIDDEN, ConfigError, r"refused .* check the credentials"),
        (Fault.REFUSED, TransientError, r"the server did not answer well.* then try again"),
    ],
)
def test_a_listing_of_inputs_that_fails_speaks_of_inputs_and_not_of_a_run(
    proxy: FaultyProxy, objects: BucketObjects, fault: Fault, error: type[Exception], said: str
) -> None:
    proxy.plan = always(fault)
    url = f"{objects.root}/night/*.fits"
    place = rf"images.paths: {re.escape(url)}: inputs {objects.root}/night: listing"
    with pytest.raises(error, match=f"{place}: {said}") as told:
        find_exposures((url,), ImageSettings())
    assert "run store" not in str(told.value) and "nobody-must-see-this" not in str(told.value)


def test_a_bucket_that_is_not_there_is_named(proxy: FaultyProxy) -> None:
    with pytest.raises(RunStoreError, match=r"s3://none/run: writing \S+: there is no such bucket"):
        require_usable(UrlPlace("s3://none/run"))


def test_a_server_without_conditions_cannot_hold_a_run(
    proxy: FaultyProxy, objects: BucketObjects
) -> None:
    require_usable(objects.root)
    proxy.plan = always(Fault.UNCONDITIONAL)
    with pytest.raises(RunStoreError, match="two drivers could write one run"):
        require_usable(objects.root)
    assert objects.list("") == ()


def test_credentials_come_from_the_usual_file_too(
    proxy: FaultyProxy, objects: BucketObjects, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "credentials"
    file.write_text("[other]\naws_access_key_id = me\naws_secret_access_key = secret%1\n")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(file))
    monkeypatch.setenv("AWS_PROFILE", "other")
    objects.put("a", b"one")
    assert objects.get("a") == b"one"
    assert "secret" not in repr(bucket_clients._profile())
