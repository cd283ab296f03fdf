"""A driver as a Job of Kubernetes, beside the pods of its workers."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass

import yaml

from alignsvc.engine.clusters.kubernetes import KubernetesBackend, cluster_name
from alignsvc.engine.driver_places import (
    DRIVER_PLACES,
    DriverJob,
    DriverRun,
    DriverStanding,
    DriverState,
)
from alignsvc.engine.kubernetes_api import KubernetesApi
from alignsvc.engine.pods import Manifest, Need, driver_job

#: Conditions of a Job that is over.
_ENDS = ("Complete", "Failed")


@DRIVER_PLACES.register("kubernetes")
@dataclass(frozen=True, slots=True)
class KubernetesJob:
    """A Job that runs the driver, which makes the cluster of its workers itself.

    Parameters
    ----------
    backend : KubernetesBackend
        Whose image, volumes, secrets and service account it has.
    """

    backend: KubernetesBackend

    def script(self, run: DriverRun) -> str:
        """Return the manifest, as ``kubectl create -f -`` takes it."""
        return yaml.safe_dump(self.manifest(run, "000000"), sort_keys=False)

    def manifest(self, run: DriverRun, ending: str) -> Manifest:
        """Return the Job, whose name ends so."""
        # Certificates that are made for the run are made by the driver.
        pods = self.backend.pods(self.backend.tls_secret)
        return driver_job(
            f"{cluster_name(run.run_id)}-driver-{ending}",
            pods,
            ["alignsvc", "resume", run.where],
            Need("1", self.backend.driver_memory),
            self.backend.service_account,
        )

    def start(self, run: DriverRun) -> DriverJob:
        """Make the Job; a second one of the same run would wait for the lease of the first.

        Raises
        ------
        ConfigError
            Kubernetes is not reached from here, or forbids it.
        ResourceError
            It was refused.
        TransientError
            Kubernetes does not answer.
        """
        api = KubernetesApi(self.backend.namespace)
        made = api.create(self.manifest(run, secrets.token_hex(3)))
        name = made["metadata"]["name"]
        return DriverJob(name, f"kubectl logs --namespace {api.namespace} job/{name}")

    def state_of(self, job: DriverJob) -> DriverState:
        """Return how the Job stands; an error if Kubernetes does not answer, or is not here."""
        found = KubernetesApi(self.backend.namespace).found(_named(job))
        if found is None:
            return DriverState(DriverStanding.GONE)
        status = found.get("status", {})
        for one in status.get("conditions") or ():
            if one["status"] == "True" and one["type"] in _ENDS:
                return DriverState(DriverStanding.GONE, _words(one))
            if one["status"] == "True" and one["type"] == "Suspended":
                return DriverState(DriverStanding.WAITS, _words(one))
        if not status.get("active"):
            return DriverState(DriverStanding.WAITS, "no pod yet")
        # Old servers do not count the pods that are ready.
        if status.get("ready", 1) == 0:
            return DriverState(DriverStanding.WAITS, "its pod is not ready")
        return DriverState(DriverStanding.RUNS, "its pod runs")

    def remove(self, job: DriverJob) -> None:
        """Delete the Job and its pods; an error if Kubernetes does not answer, or forbids it."""
        KubernetesApi(self.backend.namespace).remove(_named(job))


def _named(job: DriverJob) -> Manifest:
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": job.id}}


def _words(condition: Mapping[str, str]) -> str:
    reason = condition.get("reason")
    return f"{condition['type']} ({reason})" if reason else condition["type"]
