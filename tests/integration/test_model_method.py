"""Runs that place sources by a profile of the exposure's own stars: ``method: model``."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
import yaml
from workplaces import SKY, Command, Workplace

from alignsvc import api
from alignsvc.domain.outcome import ExitCode
from alignsvc.domain.source_kinds import SourceKinds
from alignsvc.io.journal import Event, SourcesFound
from alignsvc.io.journal_store import Journal
from alignsvc.io.locations import RunLocations
from alignsvc.tasks.sources_at_hand import all_kinds

MODEL = {"name": "model", "source": "moffat"}


def events_of(run: Path) -> list[Event]:
    return list(Journal(RunLocations(run).objects, time.time).events())


def kinds_of(run: Path, found: SourcesFound) -> SourceKinds:
    assert found.kinds is not None
    return all_kinds(run, found.kinds)


GALAXIES = {"density": 50.0, "flux": [100.0, 1e4], "half_light_arcsec": [0.3, 1.0]}


def test_a_run_by_models_ends_aligned_and_stays_near_the_truth(
    work: Workplace, small_sky: Path
) -> None:
    result = api.align(work.config({"alignment.method": MODEL, "alignment.geometry": "rshift"}))
    assert result.exit_code == ExitCode.DONE
    assert not any("profile of alignment.method" in note for note in result.notes)
    judged = api.evaluate(work.run, small_sky)
    assert judged["false_success"] == []
    assert judged["passes"] <= 3
    assert judged["before_local_rms_px"] > 0.3
    assert judged["local_rms_px"] < 0.006
    assert judged["ratio_local"] < 2.5
    told = [one for one in events_of(work.run) if isinstance(one, SourcesFound)]
    # The first pass is by centroids and wants to know nothing.
    assert [one.kinds is not None for one in told] == [False, True]
    kinds = kinds_of(work.run, told[-1])
    assert len(kinds) == told[-1].n_chosen
    assert len(kinds.companion_of) == told[-1].n_companions


@pytest.mark.slow
def test_what_sources_are_is_told_by_no_tiling(work: Workplace) -> None:
    """A source's class, place and companions, but for what its tile's PSF differs."""
    told = []
    for size in (1024, 128):
        place = Workplace(work.root / str(size))
        place.root.mkdir()
        settings = {
            "alignment.method": {"name": "model", "source": "auto"},
            "alignment.geometry": "rshift",
            "images.paths": [f"{work.inputs}/*"],
            "mosaic.tile_shape": [size, size],
            "alignment.max_iterations": [2, 2],
        }
        api.align(place.config(settings))
        found = [one for one in events_of(place.run) if isinstance(one, SourcesFound)]
        told.append(kinds_of(place.run, found[-1]))
    one, other = told
    assert one.id.tolist() == other.id.tolist()
    assert (one.is_galaxy == other.is_galaxy).mean() > 0.95
    assert np.median(np.abs(one.off_x - other.off_x)) < 0.01
    assert one.companion_of.tolist() == other.companion_of.tolist()


def test_a_run_places_galaxies_by_their_own_shapes(tmp_path: Path) -> None:
    """In a field without a star."""
    place, sky = Workplace(tmp_path), {**SKY, "galaxies": GALAXIES, "stars": {"density": 0.0}}
    (tmp_path / "sky.yaml").write_text(yaml.safe_dump(sky))
    api.simulate(tmp_path / "sky.yaml", place.inputs)
    method = {"name": "model", "source": "sersic"}
    settings = {"alignment.method": method, "alignment.geometry": "rshift"}
    config = place.config({**settings, "images.paths": [f"{place.inputs}/*.fits"]})
    assert api.align(config).exit_code == ExitCode.DONE
    judged = api.evaluate(place.run, place.inputs)
    assert judged["false_success"] == []
    assert judged["passes"] <= 3
    assert judged["before_local_rms_px"] > 0.3
    assert judged["ratio_local"] < 2.5


def test_exposures_without_stars_for_a_profile_are_told(work: Workplace) -> None:
    """Sources are placed by centroids there, which is not what was asked for."""
    faint = {"detection.filters": ["snr > 8", "snr < 28"]}
    settings = {"alignment.method": MODEL, "alignment.geometry": "shift", **faint}
    result = api.align(work.config(settings))
    assert result.exit_code == ExitCode.DONE
    (note,) = [one for one in result.notes if "profile of alignment.method model" in one]
    assert "3 aligned exposures" in note and "(exp000, exp001, exp002)" in note
    assert note in (work.run / "report.json").read_text()


@pytest.mark.slow
def test_models_and_correlation_agree_within_their_errors(work: Workplace, small_sky: Path) -> None:
    shift, error = [], []
    for method in (MODEL, {"name": "correlate"}):
        place = Workplace(work.root / method["name"])
        place.root.mkdir()
        settings = {"alignment.method": method, "alignment.geometry": "rshift"}
        config = place.config({**settings, "images.paths": [f"{work.inputs}/*"]})
        found = api.align(config).corrections
        shift.append([one.correction.shift for one in found])
        error.append([np.sqrt(np.diag(one.correction.covariance)[:2]) for one in found])
    apart = np.array(shift[0]) - np.array(shift[1])
    assert (np.abs(apart) < 3 * np.hypot(*np.array(error))).all()


def test_a_model_without_the_global_solver_is_refused(work: Workplace, command: Command) -> None:
    settings = {"alignment.method": MODEL, "alignment.solver": "independent"}
    ended = command("check", work.config(settings))
    assert ended.code == 2
    assert "set it to global or use correlate" in ended.sentence
