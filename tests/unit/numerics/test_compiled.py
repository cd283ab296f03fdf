"""Loops that are compiled: what they keep of Python's meaning, and where they are kept."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from alignsvc.numerics.compiled import compiled, compiled_sums
from alignsvc.numerics.solve.row_loops import times_vector
from alignsvc.simulation.reading_settings import sky_settings
from alignsvc.simulation.simulate import simulate_to

MODULE = """
from alignsvc.numerics.compiled import compiled

@compiled
def doubled(x):
    return 2.0 * x

print(doubled(21.0))
"""


def quotient(numerator: float, denominator: float) -> float:
    return numerator / denominator


def total(values: np.ndarray) -> float:
    result = 0.0
    for value in values:
        result += value
    return result


def test_division_by_zero_gives_what_numpy_gives() -> None:
    assert compiled(quotient)(1.0, 0.0) == np.inf
    assert np.isnan(compiled(quotient)(0.0, 0.0))


@pytest.mark.parametrize("how", [compiled, compiled_sums])
def test_nan_and_infinity_keep_their_meaning(how) -> None:
    assert np.isnan(how(total)(np.array([1.0, np.nan, 2.0])))
    assert how(total)(np.array([1.0, np.inf])) == np.inf


def test_sums_keep_the_order_written_unless_asked_otherwise() -> None:
    values = np.random.default_rng(1).normal(size=1001).cumsum()
    assert compiled(total)(values) == total(values)
    assert compiled_sums(total)(values) == pytest.approx(total(values), rel=1e-12)


def test_the_next_process_finds_what_was_compiled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    module = tmp_path / "loops.py"
    module.write_text(MODULE)
    for _ in range(2):
        done = subprocess.run([sys.executable, module], capture_output=True, text=True, check=True)
        assert done.stdout == "42.0\n"
    kept = list((tmp_path / "__pycache__").glob("loops.doubled*.nbc"))
    assert len(kept) == 1


def test_code_without_a_file_to_keep_it_beside_is_compiled_all_the_same() -> None:
    space: dict[str, object] = {}
    exec(compile(MODULE, "<nowhere>", "exec"), space)  # noqa: S102
    assert space["doubled"](4.0) == 8.0  # type: ignore[operator]


def compiler_is_imported(code: str) -> bool:
    lines = f"import sys\n{code}\nsys.exit(77 if 'numba' in sys.modules else 0)"
    return subprocess.run([sys.executable, "-c", lines], check=False).returncode == 77


def test_the_api_and_the_driver_do_without_the_compiler() -> None:
    assert not compiler_is_imported("from alignsvc import api")
    first_call = "from alignsvc.numerics.compiled import compiled; compiled(lambda x: x)(1.0)"
    assert compiler_is_imported(first_call)


@pytest.mark.parametrize("verb", ["check", "list", "status"])
def test_commands_that_only_look_do_without_the_compiler(verb: str, tmp_path: Path) -> None:
    sky = {
        "layout": {"name": "stack", "count": 2, "ra": 150.0, "dec": 2.0},
        "camera": {"shape": [128, 128]},
    }
    simulate_to(tmp_path / "sky", sky_settings(sky))
    config = tmp_path / "run.yaml"
    config.write_text(f"run: {{directory: {tmp_path}/run}}\nimages: {{paths: [{tmp_path}/sky]}}\n")
    given = {"check": config, "list": tmp_path, "status": tmp_path / "run"}[verb]
    code = f"from alignsvc.cli.main import exit_code; exit_code(['{verb}', '{given}'])"
    assert not compiler_is_imported(code)


def test_a_compiled_function_is_sent_by_its_name() -> None:
    assert copy.copy(times_vector) is times_vector
    assert len(pickle.dumps(times_vector)) < 200
