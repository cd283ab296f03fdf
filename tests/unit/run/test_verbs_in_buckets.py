"""What is asked of a run on a disk can be asked of one in a bucket."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from stored_runs import ONE_PASS, StoredRun

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "io"))
from object_servers import objects_in, s3_bucket

from alignsvc import api
from alignsvc.io.journal import Finished
from alignsvc.run.status.run_status import RunStanding
from alignsvc.run.verbs.cancelling import Cancelling


@pytest.mark.cluster
def test_a_run_in_a_bucket_is_listed_cancelled_watched_and_cleaned(tmp_path: Path) -> None:
    with s3_bucket() as bucket:
        objects = objects_in(bucket)
        stored = {
            "night/one": StoredRun.at(tmp_path / "one"),
            "two": StoredRun.at(tmp_path / "two", (*ONE_PASS, Finished(0))),
        }
        for where, run in stored.items():
            for name in run.objects.list(""):
                objects.put(f"{where}/{name}", run.objects.get(name))
        objects.put("two/tables/measure/x.npz", b"x" * 1000)
        root = objects.root
        one, two = root.joinpath("night", "one"), root.joinpath("two")
        assert {run.directory: run.standing for run in api.list_runs(root)} == {
            one: "stopped",
            two: "finished",
        }
        assert api.cancel(one).outcome is Cancelling.MARKED
        assert [seen.status.standing for seen in api.watch(one)] == [RunStanding.CANCELLED]
        assert api.clean(two).n_bytes == 1000
        assert api.clean(two).n_objects == 0
        assert api.status(two).state.exit_code == 0
        objects.delete_below("")
