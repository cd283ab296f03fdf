"""Credentials are taken out of text, and nothing else is."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from alignsvc.domain.outcome import Status, TaskKey
from alignsvc.io.journal import ExposureEnded
from alignsvc.reasons import FailureKind
from alignsvc.redaction import has_credentials, redacted
from alignsvc.run.records.events import Note
from alignsvc.tasks.base import failed

SECRET = "wJalrXUtnFEMI0K7MDENGbPxRfiCYEXAMPLEKEY"
PEM = f"-----BEGIN PRIVATE KEY-----\n{SECRET}\n-----END PRIVATE KEY-----"


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        (f"https://me:{SECRET}@host.org/a.fits", "https://***@host.org/a.fits"),
        (f"s3://me:a/{SECRET}@bucket/a.fits", "s3://***@bucket/a.fits"),
        (f"GET https://b.org/a?X-Amz-Signature={SECRET}&v=1", "Signature=***&v=1"),
        (f"https://b.org/a?sv=1&sig={SECRET}", "sv=1&sig=***"),
        (f"{{'Authorization': 'Bearer {SECRET}'}}", "'Authorization': '***'"),
        (f"authorization: Basic {SECRET}\r\nhost: b", "authorization: ***\r\nhost: b"),
        (f"AWS_SECRET_ACCESS_KEY={SECRET} not accepted", "AWS_SECRET_ACCESS_KEY=*** not accepted"),
        (f'"password": "my {SECRET}"', '"password": ***'),
        ("key AKIAIOSFODNN7EXAMPLE of nobody", "key *** of nobody"),
        (f"bad key: {PEM}", "bad key: -----BEGIN PRIVATE KEY-----***"),
        (f"eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.{SECRET}", "***"),
    ],
)
def test_what_lets_one_in_goes_and_what_is_around_it_stays(text: str, kept: str) -> None:
    assert SECRET not in redacted(text)
    assert "AKIAIOSFODNN7EXAMPLE" not in redacted(text)
    assert kept in redacted(text)
    assert has_credentials(text)


@pytest.mark.parametrize(
    "text",
    [
        "exposure j8bt06nyq chip 2: 2 sources left after clipping",
        "tls://10.0.0.5:8786 and http://127.0.0.1:8787/status",
        "s3://bucket/night/a@b.fits",
        "http://host:8080/a@b",
        "cluster.security.tls_key: /etc/alignsvc/tls/tls.key",
        "tls_secret: alignsvc-tls, secrets: [bucket]",
        "data/*.fits?[ab]",
        "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    ],
)
def test_names_addresses_and_digests_stay(text: str) -> None:
    assert redacted(text) == text


@given(st.lists(st.sampled_from(["https://", "a:b", "@", "/", "?sig=", "token", " ", "***", "'"])))
@example(["https://", "https://", "@", "@"])
def test_doing_it_twice_changes_nothing(parts: list[str]) -> None:
    text = "".join(parts)
    assert redacted(redacted(text)) == redacted(text)


@given(st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=30))
def test_no_password_survives_in_a_url(password: str) -> None:
    text = redacted(f"cannot read https://observer:{password}@example.org/a.fits (404)")
    assert text == "cannot read https://***@example.org/a.fits (404)"


def test_what_is_stored_or_told_never_has_them() -> None:
    text = f"cannot read https://me:{SECRET}@host.org/a.fits"
    outcome = failed(TaskKey("measure", "a", "0" * 64), FailureKind.UNREADABLE, text)
    ended = ExposureEnded("a", Status.FAILED, "unreadable", text)
    for message in (outcome.message, ended.message, Note(text).text):
        assert message == "cannot read https://***@host.org/a.fits"
