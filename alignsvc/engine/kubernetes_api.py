"""What we ask of Kubernetes: make an object, look at it, delete it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from alignsvc.engine.bounded import within
from alignsvc.engine.extras import extra_package
from alignsvc.engine.pods import Manifest
from alignsvc.errors import ConfigError, ResourceError, TransientError
from alignsvc.redaction import redacted

#: How long one answer of Kubernetes is waited for, seconds.
ANSWER_S = 30.0


class KubernetesApi:
    """The Kubernetes that the user's configuration, or the service account of a pod, names.

    Parameters
    ----------
    namespace : str or None
        None = that of the configuration or the pod.

    Raises
    ------
    ConfigError
        There is none, or the package that talks to it is not installed.
    TransientError
        It does not answer in time.
    """

    def __init__(self, namespace: str | None) -> None:
        self._kr8s = extra_package("kr8s", "kubernetes", "kubernetes")
        self._objects = extra_package("kr8s.objects", "kubernetes", "kubernetes")
        self._httpx = extra_package("httpx", "kubernetes", "kubernetes")
        self._no_answer = (
            OSError,
            self._kr8s.ServerError,
            self._kr8s.APITimeoutError,
            self._httpx.HTTPError,
        )
        try:
            # Before there is anything to set it on, it waits without end.
            self._api = within(ANSWER_S, lambda: self._kr8s.api(namespace=namespace))
            self._api.timeout = ANSWER_S
        except TimeoutError as error:
            raise TransientError(
                f"kubernetes: {error}; see that it runs and can be reached from here"
            ) from error
        except (ValueError, *self._no_answer) as error:
            raise ConfigError(
                f"kubernetes: none is reached from here ({_words(error)}); wanted a configuration "
                "as kubectl has it (KUBECONFIG), or the service account of a pod"
            ) from error

    @property
    def namespace(self) -> str:
        """Where objects are made."""
        return str(self._api.namespace)

    def create(self, manifest: Manifest) -> Manifest:
        """Make an object and return it as Kubernetes has it.

        Raises
        ------
        ConfigError
            It is forbidden, or of a kind that is unknown here.
        ResourceError
            It is refused, as by a quota.
        TransientError
            Kubernetes does not answer.
        """
        one = self._object(manifest)
        what = f"{manifest['kind']} {manifest['metadata']['name']} in {self.namespace}"
        try:
            one.create()
        except self._kr8s.NotFoundError as error:
            raise ConfigError(
                f"kubernetes: {what}: no such kind of object; install the operator of "
                "dask-kubernetes (deploy/README.md)"
            ) from error
        except self._kr8s.ServerError as error:
            raise self._refused(what, error) from error
        except self._no_answer as error:
            raise TransientError(
                f"kubernetes: {what}: no answer ({_words(error)}); resume the run"
            ) from error
        return dict(one.raw)

    def refreshed(self, manifest: Manifest) -> Manifest:
        """Return an object as it is by now; empty if it is gone or nobody answers."""
        one = self._object(manifest)
        with suppress(self._kr8s.NotFoundError, *self._no_answer):
            one.refresh()
            return dict(one.raw)
        return {}

    def found(self, manifest: Manifest) -> Manifest | None:
        """Return an object as it is by now, None if there is none.

        Raises
        ------
        TransientError
            Kubernetes does not answer, or does not say.
        """
        one = self._object(manifest)
        with self._answering(manifest):
            try:
                one.refresh()
            except self._kr8s.NotFoundError:
                return None
        return dict(one.raw)

    def remove(self, manifest: Manifest) -> None:
        """Delete an object and what belongs to it; nothing happens if there is none.

        Raises
        ------
        TransientError
            Kubernetes does not answer, or does not do it.
        """
        with self._answering(manifest), suppress(self._kr8s.NotFoundError):
            self._object(manifest).delete(propagation_policy="Background")

    @contextmanager
    def _answering(self, manifest: Manifest) -> Iterator[None]:
        try:
            yield
        except self._no_answer as error:
            what = f"{manifest['kind']} {manifest['metadata']['name']}"
            raise TransientError(f"kubernetes: {what}: {_words(error)}") from error

    def delete(self, manifest: Manifest) -> None:
        """Delete an object and what belongs to it; nothing happens if that is not possible."""
        with suppress(TransientError):
            self.remove(manifest)

    def _object(self, manifest: Manifest) -> Any:
        kind = self._objects.new_class(
            manifest["kind"], manifest["apiVersion"], asyncio=False, namespaced=True
        )
        return kind(manifest, namespace=self.namespace, api=self._api)

    def _refused(self, what: str, error: Any) -> ConfigError | ResourceError:
        status = getattr(error.response, "status_code", None)
        if status in (401, 403):
            words = redacted(str(error))
            allowed = "deploy/kubernetes/rbac.yaml has what is needed"
            # Quotas are refused with the same number.
            if "quota" not in words:
                return ConfigError(f"kubernetes: {what}: not allowed ({words}); {allowed}")
        return ResourceError(f"kubernetes: {what}: refused ({_words(error)}); mend that and resume")


def _words(error: Exception) -> str:
    return redacted(" ".join(str(error).split())) or type(error).__name__
