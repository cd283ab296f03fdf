"""Workers of a dask-gateway: a service that starts clusters for people who may not do it."""

# distributed and dask_gateway are typed in parts only.
# mypy: disable-error-code="no-untyped-call"

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from alignsvc.engine.base import RunContext
from alignsvc.engine.bounded import connected, within
from alignsvc.engine.clusters import CLUSTERS
from alignsvc.engine.dask_workers import TASK_TIMEOUT_S, DaskSettings
from alignsvc.engine.distributed import DaskExecutor
from alignsvc.engine.extras import extra_package, missing_package
from alignsvc.engine.scaling import Scaling, read_scaling
from alignsvc.engine.security import BY_DEFAULT, ClusterSecurity, is_loopback
from alignsvc.errors import AlignError, ConfigError, ResourceError, TransientError
from alignsvc.redaction import redacted

#: How one can say who one is; what is needed for it comes from the environment (JupyterHub's
#: JUPYTERHUB_API_TOKEN), a ticket (Kerberos), or dask's own configuration file (basic).
_AUTH = ("basic", "kerberos", "jupyterhub")
_LOOK_S = 1.0
#: How long one answer of the gateway, or of its scheduler, is waited for.
_ANSWER_S = 60.0


@CLUSTERS.register("gateway")
@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayBackend:
    """A cluster that a dask-gateway starts for the run, and stops with it.

    Its administrator says what workers are: they need this very version of the package, one
    thread each, and the run directory and the inputs under the same paths. What goes to the
    scheduler is encrypted by the gateway's own certificates.

    Parameters
    ----------
    address : str
        Of the gateway, ``https://...``.
    workers : int, or mapping of minimum and maximum
        Worker processes: so many always, or as many as there are tasks for.
    proxy_address : str or None
        Where schedulers are reached, if not at `address`.
    auth : str or None
        ``basic``, ``kerberos`` or ``jupyterhub``; None = as dask's configuration has it.
    options : mapping
        Options of the cluster that this gateway offers, by name.
    queue_timeout_s : float
        How long the run waits while there is no worker at all.
    start_timeout_s : float
        How long the cluster may take until it runs.
    task_timeout_s : float
        Longest time that one task may run.
    security : ClusterSecurity
        Only ``trusted_network: true`` has a meaning here: for an ``http://`` address, which shows
        everybody on the way who one is.
    """

    address: str
    workers: int | Mapping[str, int]
    proxy_address: str | None = None
    auth: str | None = None
    options: Mapping[str, object] = field(default_factory=dict)
    queue_timeout_s: float = 3600.0
    start_timeout_s: float = 600.0
    task_timeout_s: float = TASK_TIMEOUT_S
    security: ClusterSecurity = BY_DEFAULT

    def __post_init__(self) -> None:
        _ = self.scaling
        if self.auth is not None and self.auth not in _AUTH:
            raise ConfigError(f"cluster.auth: found {self.auth!r}, wanted {', '.join(_AUTH)}")
        if not isinstance(self.options, Mapping):
            raise ConfigError(f"cluster.options: found {self.options!r}, wanted values by name")
        url = urlsplit(self.address)
        if url.scheme not in ("http", "https") or not url.hostname:
            raise ConfigError(
                f"cluster.address: found {redacted(self.address)!r}, wanted https://host"
            )
        if self.security.has_files or self.security.temporary:
            raise ConfigError(
                "cluster.security: a gateway has certificates of its own; wanted none here"
            )
        if url.scheme == "http" and not (
            self.security.trusted_network or is_loopback(url.hostname)
        ):
            raise ConfigError(
                f"cluster.address: {self.address} is not encrypted; wanted https://, or "
                "cluster.security: {trusted_network: true} if nobody listens on the way"
            )

    @property
    def scaling(self) -> Scaling:
        """How many workers there may be."""
        return read_scaling(self.workers)

    @property
    def worker_memory_bytes(self) -> None:
        """Unknown: the gateway's administrator says what workers are, and names the options."""
        return

    @property
    def more_memory(self) -> str:
        """What gives each worker more."""
        return "the option of this gateway for memory in cluster.options, or ask its administrator"

    def missing_here(self) -> tuple[str, ...]:
        """Return sentences on the packages that this machine lacks."""
        return missing_package("dask_gateway", "gateway", "gateway")

    def __call__(self, context: RunContext) -> DaskExecutor:
        """Have a cluster started and return the executor that uses it.

        Raises
        ------
        ConfigError
            The package is not installed, the gateway does not let us in, or it lacks an option.
        ResourceError
            The cluster did not start.
        TransientError
            The gateway does not answer.
        """
        library = extra_package("dask_gateway", "gateway", "gateway")
        closing = ExitStack()
        try:
            gateway = self._gateway(library)
            closing.callback(gateway.close)
            name = self._submitted(library, gateway)
            closing.callback(self._stop, library, gateway, name)
            with self._in_our_words(library):
                found = self._running(gateway, name)
                self._scale(gateway, name)
                client = connected(found.scheduler_address, _ANSWER_S, found.security)
            settings = DaskSettings(
                task_timeout_s=self.task_timeout_s,
                no_worker_timeout_s=self.queue_timeout_s,
                dashboard_link=str(found.dashboard_link or ""),
            )
            return DaskExecutor(client, context, settings, closing.close)
        except BaseException:
            closing.close()
            raise

    def _gateway(self, library: Any) -> Any:
        try:
            return _closed_once(library.Gateway)(
                address=self.address, proxy_address=self.proxy_address, auth=self.auth
            )
        except (ValueError, TypeError, ImportError) as error:
            raise ConfigError(
                f"gateway {self.address}: {redacted(str(error))}; give what cluster.auth needs in "
                "the environment or in dask's own configuration file"
            ) from error

    def _submitted(self, library: Any, gateway: Any) -> str:
        """Ask for a cluster; return its name."""
        with self._in_our_words(library):
            offered = within(_ANSWER_S, gateway.cluster_options)
            unknown = [name for name in self.options if name not in offered]
            if unknown:
                raise ConfigError(
                    f"cluster.options: gateway {self.address} has no option {unknown[0]!r} "
                    f"(known: {', '.join(offered) or 'none'})"
                )
            return str(within(_ANSWER_S, lambda: gateway.submit(offered, **self.options)))

    def _running(self, gateway: Any, name: str) -> Any:
        """Return what the gateway says of a cluster, once it runs."""
        last_s = time.monotonic() + self.start_timeout_s
        ask = partial(gateway.get_cluster, name)
        while (found := within(_ANSWER_S, ask)).status.name != "RUNNING":
            status = found.status.name
            if status != "PENDING":
                raise ResourceError(
                    f"gateway {self.address}: cluster {name} did not start, it is "
                    f"{status.lower()}; ask its administrator for the logs, then resume"
                )
            if time.monotonic() > last_s:
                raise TransientError(
                    f"gateway {self.address}: cluster {name} does not run after "
                    f"{self.start_timeout_s:g} s, it is {status.lower()}; resume when there is room"
                )
            time.sleep(_LOOK_S)
        return found

    @contextmanager
    def _in_our_words(self, library: Any) -> Iterator[None]:
        client_error = extra_package("aiohttp", "gateway", "gateway").ClientResponseError
        try:
            yield
        except client_error as error:
            raise ConfigError(
                f"gateway {self.address}: does not let us in ({error.status}); see cluster.auth, "
                "and give what it needs in the environment or in dask's own configuration file"
            ) from error
        except (ValueError, TypeError) as error:
            raise ConfigError(f"gateway {self.address}: {redacted(str(error))}") from error
        except library.GatewayClusterError as error:
            raise ResourceError(
                f"gateway {self.address}: {redacted(str(error))}; mend that, then resume"
            ) from error
        except (OSError, TimeoutError, library.GatewayServerError) as error:
            raise TransientError(
                f"gateway {self.address}: no answer ({redacted(str(error)) or 'timeout'}); see "
                "that it runs and can be reached from here, then resume"
            ) from error

    def _stop(self, library: Any, gateway: Any, name: str) -> None:
        # The run has ended, or failed for a better reason.
        with suppress(AlignError), self._in_our_words(library):
            within(_ANSWER_S, lambda: gateway.stop_cluster(name))

    def _scale(self, gateway: Any, name: str) -> None:
        wanted = self.scaling
        if wanted.is_adaptive:
            scale = partial(gateway.adapt_cluster, minimum=wanted.minimum, maximum=wanted.maximum)
        else:
            scale = partial(gateway.scale_cluster, n=wanted.maximum)
        within(_ANSWER_S, partial(scale, name))


def _closed_once(gateway: Any) -> Any:
    """Return a class of gateways that we close: those of the library complain of a second time."""
    return type("ClosedOnce", (gateway,), {"__del__": lambda self: None})
