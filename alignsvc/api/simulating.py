"""Exposures with known truth, and runs judged against it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from alignsvc.config.load import read_yaml
from alignsvc.domain.celestial import CelestialWcs
from alignsvc.domain.outcome import Status
from alignsvc.domain.result import ExposureResult
from alignsvc.errors import ConfigError
from alignsvc.io.corrections_table import read_corrections
from alignsvc.io.exposure_headers import ExposureHeader
from alignsvc.io.locations import CORRECTIONS, RunLocations
from alignsvc.io.places import Place, place_of, run_place
from alignsvc.io.simulated_files import read_truth
from alignsvc.numerics.sky.corrected import corrected
from alignsvc.run.driving.plans import stored_plan
from alignsvc.run.records import stored
from alignsvc.simulation.evaluate import evaluate as evaluate_against
from alignsvc.simulation.footprint_errors import footprint_errors
from alignsvc.simulation.reading_settings import sky_settings
from alignsvc.simulation.simulate import simulate_to
from alignsvc.simulation.truth import from_json


def simulate(sky: Path | str, directory: Path | str) -> int:
    """Make the exposures that a sky file describes; return their number.

    Raises
    ------
    ConfigError
        The file cannot be read, a key or value is wrong, or the directory cannot be written.
    """
    settings = sky_settings(read_yaml(Path(sky), "sky"))
    folder = place_of(str(directory))
    if not isinstance(folder, Path):
        raise ConfigError(f"simulate: {folder} is a URL; name a directory of this machine")
    try:
        return len(simulate_to(folder, settings).exposures)
    except OSError as error:
        raise ConfigError(
            f"simulate: {directory} cannot be written: {error.strerror}; name a directory where "
            "this user may write"
        ) from error


def evaluate(run: Place | str, directory: Path | str) -> Mapping[str, object]:
    """Return how far a run's corrections are from the truth in `directory`, as JSON values."""
    run = run_place(str(run))
    state, config = stored.state_of(run), stored.stored_config(run)
    plan = stored_plan(run, config)
    rows = read_corrections(RunLocations(run).path(CORRECTIONS))
    of_id = {row.id: row for row in rows}
    totals = {
        row.id: row.correction
        for row in rows
        if row.status is Status.ALIGNED and row.correction is not None
    }
    wcs = {
        header.ref.id: _final_wcs(header, of_id[header.ref.id], state.run_id)
        for header in plan.headers
        if header.ref.id in totals
    }
    free = [total.geometry for total in totals.values()] or [plan.algorithms.geometry]
    geometry = max(free, key=lambda one: one.n_parameters)
    truth = from_json(read_truth(Path(directory)))
    offsets = config.images.chip_offsets
    found = evaluate_against(truth, wcs, totals, geometry=geometry, chip_offsets=offsets)
    groups = [
        [row.id for row in rows if row.id in totals and row.component == component]
        for component in sorted({row.component for row in rows if row.id in totals})
    ]
    errors = [error for group in groups for error in footprint_errors(truth, wcs, totals, group)]
    return {
        **found.as_json(),
        "passes": len(state.solved_passes),
        "n_aligned": len(totals),
        "largest_error_px": max((error.error_px for error in errors), default=None),
        "false_success": [error.exposure for error in errors if error.is_false_success],
    }


def _final_wcs(header: ExposureHeader, row: ExposureResult, run_id: str) -> list[CelestialWcs]:
    """Return the WCS of an exposure's chips with the run's correction, once."""
    if header.corrected_by == run_id:
        return list(header.wcs)
    totals = row.totals(len(header.wcs))
    return [corrected(wcs, total) for wcs, total in zip(header.wcs, totals, strict=True)]
