"""Runs by models of exposures that something is wrong with: each ends with a name, never NaN."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml
from astropy.table import Table
from spoilt_skies import ALIGNED, NAMES, SKIES, SPOILT
from workplaces import Workplace

from alignsvc import api
from alignsvc.domain.outcome import ExitCode, Status
from alignsvc.reasons import REASON_TEXT

METHODS = {
    **{source: {"name": "model", "source": source} for source in ("moffat", "auto", "sersic")},
    "both": {"name": "both", "source": "auto"},
}
#: Quick ones; the rest is slow.
QUICK = {("no star", "moffat"), ("sources on a line", "sersic")}
#: What tells where an exposure is.
NUMBERS = ("m11", "m12", "m21", "m22", "shift_x", "shift_y", "rotation", "covariance")
CASES = [
    pytest.param(
        name,
        method,
        marks=() if (name, method) in QUICK else pytest.mark.slow,
        id=f"{name}-{method}".replace(" ", "_"),
    )
    for name in SPOILT
    for method in METHODS
]


@pytest.fixture(scope="module")
def skies(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Make the sky of a name, once, and return its folder."""
    root = tmp_path_factory.mktemp("skies")

    def sky(name: str) -> Path:
        if not (root / name).exists():
            (root / f"{name}.yaml").write_text(yaml.safe_dump(SKIES[name]))
            api.simulate(root / f"{name}.yaml", root / name)
        return root / name

    return sky


@pytest.mark.parametrize(("name", "method"), CASES)
def test_each_exposure_ends_with_a_name_and_the_others_are_aligned(
    tmp_path: Path, skies: Callable[[str], Path], name: str, method: str
) -> None:
    spoilt, place = SPOILT[name], Workplace(tmp_path)
    sky = skies(spoilt.sky)
    shutil.copytree(sky, place.inputs, ignore=shutil.ignore_patterns("truth.json"))
    own = spoilt.spoil(place)
    settings = {"alignment.method": METHODS[method], "alignment.geometry": "rshift", **own}
    result = api.align(place.config({"alignment.eps_shift": 0.01, **settings}))

    rows = {row.id: row for row in result.corrections}
    assert [(rows[one].status.value, rows[one].reason) for one in NAMES] == list(spoilt.ends)
    for row in result.corrections:
        if row.status is not Status.ALIGNED:
            assert row.reason in {reason.value for reason in REASON_TEXT}
            assert len(row.message) > 20
    all_failed = {status for status, _ in spoilt.ends} == {"failed"}
    some_failed = "failed" in {status for status, _ in spoilt.ends}
    wanted = ExitCode.SOME_FAILED if some_failed else ExitCode.DONE
    assert result.exit_code == (ExitCode.BAD_CONFIGURATION if all_failed else wanted)

    table = Table.read(place.run / "corrections.ecsv")
    aligned = table[table["status"] == "aligned"]
    for column in NUMBERS:
        assert np.isfinite(np.asarray(aligned[column], float)).all(), column
    if method == "both":
        told = {row.id: row for row in result.agreement}
        assert set(told) == set(NAMES)
        assert all(row.reason is not None or np.isfinite(row.largest_px) for row in told.values())
    if ALIGNED in spoilt.ends:
        judged = api.evaluate(place.run, sky)
        assert judged["false_success"] == []
        assert judged["local_rms_px"] < 0.03 < judged["before_local_rms_px"]
