"""Who may talk to a scheduler: whoever can, runs code as its owner.

So what leaves this machine is encrypted and both sides show a certificate (TLS), unless the user
says in so many words that the network is to be trusted.
"""

# distributed is typed in parts only.
# mypy: disable-error-code="no-untyped-call"

from __future__ import annotations

import importlib.util
import ipaddress
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

from alignsvc.errors import ConfigError
from alignsvc.redaction import redacted

if TYPE_CHECKING:
    from distributed.security import Security

#: Protocols of dask that are encrypted, and those that are not.
_ENCRYPTED = frozenset({"tls", "wss"})
_PLAIN = frozenset({"tcp", "ws"})

_FILES = ("tls_ca_file", "tls_cert", "tls_key")
_WAYS = (
    f"wanted cluster.security: {{{', '.join(f'{name}: ...' for name in _FILES)}}}, or "
    "{trusted_network: true} if everybody who can reach it may run code as you"
)
_NO_MAKER = (
    "cluster: certificates are made by the package cryptography, which is not here; pip install "
    f"'alignsvc[tls]', or {_WAYS}"
)


@dataclass(frozen=True, slots=True)
class ClusterSecurity:
    """How scheduler, workers and driver know each other; ``cluster.security``.

    Parameters
    ----------
    tls_ca_file, tls_cert, tls_key : str or None
        Absolute paths of PEM files: the authority that signs for all of the cluster, and this
        party's certificate and private key. All three, or none. Every machine has its own files
        under these paths.
    temporary : bool
        Certificates that live as long as the run, also where nothing leaves this machine: for
        machines that are shared with people who are not to be trusted. Clusters that are started
        for the run, on other interfaces than the loopback, have them anyway.
    trusted_network : bool
        Whether to do without encryption: everybody who reaches the scheduler is trusted.

    Raises
    ------
    ConfigError
        Some files are named and others not, a path is relative, or two ways are asked for.
    """

    tls_ca_file: str | None = None
    tls_cert: str | None = None
    tls_key: str | None = None
    temporary: bool = False
    trusted_network: bool = False

    def __post_init__(self) -> None:
        missing = [name for name in _FILES if getattr(self, name) is None]
        if missing and len(missing) < len(_FILES):
            raise ConfigError(
                f"cluster.security: {missing[0]} is not given; wanted {', '.join(_FILES)}, all "
                "three or none"
            )
        for name in _FILES:
            path = getattr(self, name)
            if path is not None and not Path(path).is_absolute():
                raise ConfigError(
                    f"cluster.security.{name}: found {path!r}, wanted an absolute path, since a "
                    "run may be resumed from elsewhere"
                )
        if (not missing) + self.temporary + self.trusted_network > 1:
            raise ConfigError(
                "cluster.security: TLS files, temporary and trusted_network exclude each other"
            )

    @property
    def has_files(self) -> bool:
        """Whether certificates are named."""
        return self.tls_cert is not None

    def require_safe(self, address: str) -> None:
        """Refuse a scheduler's address that must not be used.

        Raises
        ------
        ConfigError
            It is no address, or not encrypted and open to others.
        """
        protocol, host = _parts(address)
        if protocol in _ENCRYPTED:
            return
        if self.temporary or self.has_files:
            raise ConfigError(
                f"scheduler {address}: not encrypted, but cluster.security asks for TLS; wanted "
                "an address that begins with tls://"
            )
        if not (self.trusted_network or is_loopback(host)):
            raise ConfigError(
                f"scheduler {address}: not encrypted, and reached by others than this machine; "
                f"start it with certificates and give its tls:// address; {_WAYS}"
            )

    def to_connect(self, address: str) -> Security:
        """Return what a client needs to talk to the scheduler at `address`.

        Raises
        ------
        ConfigError
            As of `require_safe`; or there are no certificates, or unusable ones.
        """
        self.require_safe(address)
        is_encrypted = _parts(address)[0] in _ENCRYPTED
        return self._certificates(address) if is_encrypted else _dasks()()

    def of_own(self, host: str) -> Security:
        """Return what a cluster that is started for this run, and listens on `host`, uses.

        Raises
        ------
        ConfigError
            Files that are named are unusable, or the package that makes certificates is absent.
        """
        if self.has_files:
            return self._certificates(f"cluster on {host}")
        return temporary_certificates() if self._makes_certificates(host) else _dasks()()

    def missing_here(self, host: str) -> tuple[str, ...]:
        """Return a sentence if certificates are to be made for `host` and cannot be, or nothing."""
        has_maker = importlib.util.find_spec("cryptography") is not None
        return (_NO_MAKER,) if self._makes_certificates(host) and not has_maker else ()

    def _makes_certificates(self, host: str) -> bool:
        if self.has_files or self.trusted_network:
            return False
        return self.temporary or not is_loopback(host)

    def _certificates(self, what: str) -> Security:
        if self.temporary:
            raise ConfigError(
                f"scheduler {what}: it has certificates of its own; temporary ones are for "
                f"clusters that are started for the run; {_WAYS}"
            )
        security = _dasks()(require_encryption=True) if not self.has_files else self._of_files()
        found = security.get_tls_config_for_role("client")
        if not found["ca_file"] or not found["cert"]:
            raise ConfigError(
                f"scheduler {what}: wants certificates, and none are given; wanted "
                f"cluster.security: {{{', '.join(f'{name}: ...' for name in _FILES)}}}"
            )
        try:
            security.get_connection_args("client")
        except (OSError, ssl.SSLError) as error:
            raise ConfigError(
                f"cluster.security: certificates cannot be used ({_reason(error)}); wanted "
                f"readable PEM files in {', '.join(_FILES)}, the key without a pass phrase"
            ) from error
        return security

    def _of_files(self) -> Security:
        return _dasks()(
            require_encryption=True,
            tls_ca_file=self.tls_ca_file,
            tls_client_cert=self.tls_cert,
            tls_client_key=self.tls_key,
            tls_scheduler_cert=self.tls_cert,
            tls_scheduler_key=self.tls_key,
            tls_worker_cert=self.tls_cert,
            tls_worker_key=self.tls_key,
        )


#: What is meant where nothing is said: TLS, but for what does not leave this machine.
BY_DEFAULT = ClusterSecurity()


def read_security(settings: object) -> ClusterSecurity:
    """Return ``cluster.security`` as written in the configuration.

    Raises
    ------
    ConfigError
        It has no keys, one that is unknown, or a value of another kind.
    """
    known = {
        field.name: bool if field.default is False else str for field in fields(ClusterSecurity)
    }
    if not isinstance(settings, Mapping):
        raise ConfigError(
            f"security: found {redacted(repr(settings))}, wanted keys below it ({', '.join(known)})"
        )
    for key, value in settings.items():
        if key not in known:
            raise ConfigError(f"security has no setting {key!r} (known: {', '.join(known)})")
        if value is not None and not isinstance(value, known[key]):
            kind = "true or false" if known[key] is bool else "the path of a file"
            raise ConfigError(f"security.{key}: found {redacted(repr(value))}, wanted {kind}")
    return ClusterSecurity(**{key: value for key, value in settings.items() if value is not None})


def temporary_certificates() -> Security:
    """Return certificates that are in memory only, for all parties of one cluster.

    Raises
    ------
    ConfigError
        The package that makes them is not installed.
    """
    try:
        made: Security = _dasks().temporary()
    except ImportError as error:
        raise ConfigError(_NO_MAKER) from error
    return made


def is_loopback(host: str) -> bool:
    """Return whether only this machine reaches `host`; a name that nobody knows is not."""
    try:
        found = {str(info[4][0]) for info in socket.getaddrinfo(host, None)}
    except OSError:
        return False
    return bool(found) and all(ipaddress.ip_address(one).is_loopback for one in found)


def _parts(address: str) -> tuple[str, str]:
    """Return protocol and host of an address."""
    protocol, _, rest = address.rpartition("://")
    host, colon, _ = rest.rpartition(":")
    host = host.strip("[]") if colon else rest
    if protocol not in _ENCRYPTED | _PLAIN or not host:
        raise ConfigError(
            f"scheduler {redacted(address)!r}: no address; wanted one such as tls://10.0.0.5:8786"
        )
    return protocol, host


def _dasks() -> type[Security]:
    """Return dask's class; imported here, as it takes longer than a command that only reads."""
    from distributed.security import Security

    return Security


def _reason(error: OSError) -> str:
    """Return what is wrong, without the paths' contents."""
    return error.strerror or type(error).__name__
