"""A run's configuration as it is stored: names in it mean the same wherever it is read."""

from __future__ import annotations

from alignsvc.config.load import dump_config
from alignsvc.config.schema import Config
from alignsvc.io.exposure_files import absolute_pattern
from alignsvc.io.lease import Lease
from alignsvc.io.locations import CONFIG, RunLocations
from alignsvc.io.places import Place, place_of
from alignsvc.run.planning.plan import Plan


def to_store(plan: Plan, run: Place) -> bytes:
    """Return what is stored of the configuration of a plan whose run has this directory."""
    return dump_config(_anywhere(plan, run)).encode()


def renew_config(run: Place, plan: Plan, lease: Lease) -> None:
    """Store the configuration as it is now: `resume` and whoever takes over go by it."""
    lease.check()
    RunLocations(run).objects.put(CONFIG, to_store(plan, run))


def _anywhere(plan: Plan, run: Place) -> Config:
    """Return the configuration with names that mean the same wherever it is read."""
    config = plan.config
    images, detection = config.images, config.detection
    alignment, reference, mosaic = config.alignment, config.reference, config.mosaic
    plane = alignment.tangent_plane
    if plane is not None and all(header.ref.id != plane for header in plan.headers):
        plane = _absolute(plane)
    return config.model_copy(
        update={
            "images": images.model_copy(
                update={"paths": tuple(absolute_pattern(path) for path in images.paths)}
            ),
            "run": config.run.model_copy(
                update={"directory": str(run), "extend": _absolute(config.run.extend)}
            ),
            "detection": detection.model_copy(
                update={
                    "catalog": _absolute(detection.catalog),
                    "mask": _absolute(detection.mask),
                }
            ),
            "reference": reference.model_copy(
                update={"image": plan.reference, "catalog": _absolute(reference.catalog)}
            ),
            "mosaic": mosaic.model_copy(update={"grid": _absolute(mosaic.grid)}),
            "alignment": alignment.model_copy(update={"tangent_plane": plane}),
        }
    )


def _absolute(path: str | None) -> str | None:
    return None if path is None else str(place_of(path))
