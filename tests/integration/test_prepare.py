"""What is compiled ahead is all that a run with the defaults calls."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

CODE = """
import json, sys
from pathlib import Path

from alignsvc import api
from alignsvc.numerics.compiled import loops_used

done = api.prepare()
known = loops_used()
folder = Path(sys.argv[1])
(folder / "sky.yaml").write_text(json.dumps({
    "seed": 7,
    "layout": {"name": "stack", "count": 3, "ra": 40.0, "dec": -20.0, "jitter_arcsec": 5.0},
    "camera": {"shape": [400, 360], "scale_arcsec": 0.2},
    "header_errors": {"shift_px": [0.5, 2.0]},
}))
api.simulate(folder / "sky.yaml", folder / "sky")
(folder / "run.yaml").write_text(json.dumps({
    "run": {"directory": str(folder / "run")},
    "images": {"paths": [str(folder / "sky" / "*.fits")]},
    "cluster": {"backend": "serial"},
}))
api.align(folder / "run.yaml")
used = loops_used()
print(json.dumps([done.n_compiled + done.n_found, known.n_compiled + known.n_found,
                  used.n_compiled + used.n_found]))
"""


def test_a_run_calls_no_loop_that_was_not_prepared(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", CODE, tmp_path], capture_output=True, text=True, check=True
    )
    told, prepared, used = json.loads(done.stdout.splitlines()[-1])
    assert told == prepared > 30
    assert used == prepared
