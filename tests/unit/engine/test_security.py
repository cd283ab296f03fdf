"""Whoever reaches a scheduler runs code as its owner: beyond this machine TLS, or a plain word."""

from __future__ import annotations

from pathlib import Path

import dask.config
import pytest

from alignsvc.engine.clusters import cluster_backend
from alignsvc.engine.security import (
    ClusterSecurity,
    is_loopback,
    read_security,
    temporary_certificates,
)
from alignsvc.errors import ConfigError

OTHERS = (
    "tcp://10.0.0.5:8786",
    "tcp://[2001:db8::1]:8786",
    "ws://192.0.2.7:80",
    "tcp://no.such.:1",
)


@pytest.mark.parametrize("address", OTHERS)
def test_what_is_not_encrypted_is_refused_beyond_this_machine(address: str) -> None:
    with pytest.raises(ConfigError, match="not encrypted"):
        ClusterSecurity().to_connect(address)
    with pytest.raises(ConfigError, match="not encrypted"):
        cluster_backend("scheduler", {"address": address})
    trusted = cluster_backend(
        "scheduler", {"address": address, "security": {"trusted_network": True}}
    )
    assert trusted.security.trusted_network  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "address", ["tcp://127.0.0.1:8786", "tcp://[::1]:8786", "tcp://localhost:1"]
)
def test_this_machine_needs_no_certificates(address: str) -> None:
    assert not ClusterSecurity().to_connect(address).require_encryption


@pytest.mark.parametrize(
    "address", ["", "10.0.0.5:8786", "tls://", "ftp://10.0.0.5:1", "tcp://:8786"]
)
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(ConfigError, match="no address"):
        ClusterSecurity().require_safe(address)


def test_an_encrypted_scheduler_wants_certificates_of_ours_or_of_dasks_configuration(
    tmp_path: Path,
) -> None:
    address = "tls://10.0.0.5:8786"
    with pytest.raises(ConfigError, match=r"wants certificates, and none are given"):
        ClusterSecurity().to_connect(address)
    file = pem(tmp_path)
    ours = ClusterSecurity(str(file), str(file), str(file)).to_connect(address)
    settings = {"ca-file": str(file), "client.cert": str(file), "client.key": str(file)}
    with dask.config.set({f"distributed.comm.tls.{key}": one for key, one in settings.items()}):
        dasks = ClusterSecurity().to_connect(address)
    for found in (ours, dasks):
        assert found.require_encryption
        assert found.get_tls_config_for_role("client")["cert"] == str(file)


def test_certificates_that_cannot_be_used_are_named_by_their_settings(tmp_path: Path) -> None:
    gone, junk = tmp_path / "gone", tmp_path / "junk"
    junk.write_text("no certificate")
    for file in (gone, junk):
        files = ClusterSecurity(str(file), str(file), str(file))
        with pytest.raises(ConfigError, match="certificates cannot be used"):
            files.to_connect("tls://10.0.0.5:8786")


def test_a_cluster_of_our_own_has_certificates_unless_only_this_machine_reaches_it() -> None:
    asked = {
        ("127.0.0.1", ClusterSecurity()): False,
        ("127.0.0.1", ClusterSecurity(temporary=True)): True,
        ("192.0.2.1", ClusterSecurity()): True,
        ("192.0.2.1", ClusterSecurity(trusted_network=True)): False,
    }
    for (host, security), is_encrypted in asked.items():
        assert bool(security.of_own(host).require_encryption) is is_encrypted


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ("yes", "wanted keys below it"),
        ({"tls_certificate": "/a"}, "no setting 'tls_certificate'"),
        ({"trusted_network": "yes"}, "wanted true or false"),
        ({"tls_ca_file": "/a", "tls_cert": "/a"}, "tls_key is not given"),
        ({"tls_ca_file": "a", "tls_cert": "/a", "tls_key": "/a"}, "wanted an absolute path"),
        ({"temporary": True, "trusted_network": True}, "exclude each other"),
    ],
)
def test_wrong_settings_are_named(settings: object, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        read_security(settings)


def test_serial_has_nothing_to_secure() -> None:
    with pytest.raises(ConfigError, match="no setting 'security'"):
        cluster_backend("serial", {"security": {"trusted_network": True}})


def test_loopback_is_what_no_other_machine_reaches() -> None:
    assert is_loopback("127.0.0.1")
    assert is_loopback("localhost")
    assert not is_loopback("0.0.0.0")
    assert not is_loopback("no.such.host.invalid")


def pem(folder: Path) -> Path:
    made = temporary_certificates().get_tls_config_for_role("client")
    (folder / "all.pem").write_text(made["cert"] + made["key"])
    return folder / "all.pem"
