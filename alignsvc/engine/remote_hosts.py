"""Machines that are reached by ssh: whether they can take part, and a secret for each of them."""

# distributed is typed in parts only.
# mypy: disable-error-code="no-untyped-call"

from __future__ import annotations

import asyncio
import secrets
import shlex
from collections.abc import Awaitable, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any, TypeVar

from distributed.security import Security

from alignsvc.engine.extras import extra_package
from alignsvc.engine.security import temporary_certificates
from alignsvc.errors import ConfigError, TransientError
from alignsvc.redaction import redacted

T = TypeVar("T")

#: What a machine must be able to import to run a scheduler or workers.
_NEEDED = "import alignsvc.engine.distributed"


@dataclass(frozen=True, slots=True)
class RemoteHosts:
    """Some machines, and how to log in on each.

    Parameters
    ----------
    names : tuple of str
    options : dict
        Keywords of ``asyncssh.connect``: names of files, never what is in them.
    timeout_s : float
        For each of them to answer.
    """

    names: tuple[str, ...]
    options: dict[str, Any] = field(default_factory=dict)
    timeout_s: float = 30.0

    def require_package(self, python: str) -> None:
        """Log in everywhere, and see that `python` there has this package.

        Raises
        ------
        ConfigError
            A machine does not let us in, is not the one that it was, or lacks the package.
        TransientError
            A machine does not answer.
        """
        command = shlex.join([python, "-c", _NEEDED])
        for host, (status, said) in zip(self.names, self._run_everywhere(command), strict=True):
            if status != 0:
                raise ConfigError(
                    f"cluster.hosts: {host}: `{python}` there cannot import this package "
                    f"({redacted(said)}); install the same environment, and name its interpreter "
                    "in cluster.python"
                )

    def put_certificates(self) -> TemporaryCertificates:
        """Make certificates for one cluster, and put them where its owner alone can read them."""
        made = temporary_certificates()
        # One file: certificate and key. It signs for itself, so it is the authority too.
        party = made.get_tls_config_for_role("client")
        pem = str(party["cert"]) + str(party["key"])
        folder = PurePosixPath("/tmp") / f"alignsvc-{secrets.token_hex(16)}"
        file = folder / "cluster.pem"
        # `mkdir` without -p: somebody else's directory of this name is not used.
        command = f"umask 077 && mkdir {folder} && cat > {file}"
        with ExitStack() as undo:
            undo.callback(self.remove, folder)
            answers = self._run_everywhere(command, pem)
            for host, (status, said) in zip(self.names, answers, strict=True):
                if status != 0:
                    raise ConfigError(
                        f"cluster.hosts: {host}: certificates cannot be kept in {folder} ({said}); "
                        "make room there, or name files in cluster.security"
                    )
            undo.pop_all()
        return TemporaryCertificates(self, folder, str(file), made)

    def remove(self, folder: PurePosixPath) -> None:
        """Remove a directory of ours everywhere."""
        self._run_everywhere(f"rm -rf {folder}")

    def _run_everywhere(self, command: str, given: str = "") -> list[tuple[int | None, str]]:
        """Return the exit status of a shell command on each machine, and its last words."""
        asyncssh = extra_package("asyncssh", "ssh", "ssh")

        async def on(host: str) -> tuple[int | None, str]:
            try:
                async with asyncio.timeout(self.timeout_s):
                    async with asyncssh.connect(host, **self.options) as login:
                        done = await login.run(command, input=given)
            except asyncssh.HostKeyNotVerifiable as error:
                raise ConfigError(
                    f"cluster.hosts: {host}: its key is not in the file of known hosts ({error}); "
                    "log in once by hand, or name the file in cluster.known_hosts"
                ) from error
            except asyncssh.Error as error:
                raise ConfigError(
                    f"cluster.hosts: {host}: ssh does not let us in ({redacted(str(error))}); see "
                    "that `ssh` does without a question, and cluster.user, key_file and port"
                ) from error
            except (OSError, TimeoutError) as error:
                why = str(error) or "silence"
                raise TransientError(
                    f"cluster.hosts: {host}: no answer within {self.timeout_s:g} s ({why}); see "
                    "that it runs and can be reached from here, then resume"
                ) from error
            return done.exit_status, _last_line(str(done.stderr))

        return _in_own_loop(on, self.names)


@dataclass(frozen=True, slots=True)
class TemporaryCertificates:
    """Certificates that lie on machines until they are removed.

    Parameters
    ----------
    hosts : RemoteHosts
    folder : PurePosixPath
    file : str
        There, on each of the machines.
    here : distributed.Security
        The same for this process, in memory.
    """

    hosts: RemoteHosts
    folder: PurePosixPath
    file: str
    here: Security

    def remove(self) -> None:
        """Remove them from the machines."""
        self.hosts.remove(self.folder)


def _in_own_loop(work: Callable[[str], Awaitable[T]], hosts: Iterable[str]) -> list[T]:
    """Return what `work` gives for each host, all at once; the caller may have its own loop."""

    async def every() -> list[T]:
        return list(await asyncio.gather(*(work(host) for host in hosts)))

    with ThreadPoolExecutor(1) as thread:
        return thread.submit(lambda: asyncio.run(every())).result()


def _last_line(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1] if lines else "nothing said"
