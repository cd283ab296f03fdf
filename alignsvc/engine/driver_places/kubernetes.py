"""A driver as a Job of Kubernetes, beside the pods of its workers."""

from __future__ import annotations

import secrets
from dataclasses import dataclass

import yaml

from alignsvc.engine.clusters.kubernetes import KubernetesBackend, cluster_name
from alignsvc.engine.driver_places import DRIVER_PLACES, DriverJob, DriverRun
from alignsvc.engine.kubernetes_api import KubernetesApi
from alignsvc.engine.pods import Manifest, Need, driver_job


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

    def is_there(self, job: DriverJob) -> bool:
        """Return whether the Job waits or runs; False if Kubernetes does not answer."""
        api = KubernetesApi(self.backend.namespace)
        wanted = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": job.id}}
        found = api.refreshed(wanted)
        ends = {"Complete", "Failed"}
        said = found.get("status", {}).get("conditions") or ()
        return bool(found) and not any(
            one["type"] in ends and one["status"] == "True" for one in said
        )
