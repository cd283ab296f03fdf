"""Whole runs whose inputs and run store are in a bucket of a real object server."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "integration"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "unit" / "io"))
from durable_runs import make_sky, names_left, products, write_config
from faulty_proxy import PASSING, Fault, at_random, faulty_proxy
from object_server import seaweed
from object_servers import hurry, use_server

from alignsvc import api
from alignsvc.domain.outcome import Status
from alignsvc.io import bucket_clients
from alignsvc.io.buckets import BucketObjects
from alignsvc.io.objects import LocalObjects
from alignsvc.io.places import UrlPlace
from alignsvc.run.records import events

pytestmark = pytest.mark.cluster

BUCKET = UrlPlace("s3://runs")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("server") / "weed"
    with seaweed(folder, BUCKET.bucket) as address, pytest.MonkeyPatch.context() as patch:
        use_server(patch, address)
        yield address


@pytest.fixture(scope="module")
def sky(server: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of exposures that are in the bucket, too."""
    sky = make_sky(tmp_path_factory.mktemp("buckets") / "sky", count=4)
    here, there = LocalObjects(sky), BucketObjects(BUCKET / "sky")
    for name in here.list(""):
        there.copy(here, name, name)
    return sky


@pytest.fixture(scope="module")
def wanted(sky: Path) -> dict[str, str]:
    """What a run on this disk gives."""
    return products(api.align(write_config(sky.with_name("local.yaml"), sky)).directory)


def in_bucket(folder: Path, name: str, **sections: dict[str, Any]) -> Path:
    """Write the configuration of a run with inputs and store in the bucket."""
    return write_config(
        folder / f"{name}.yaml",
        Path("not used"),
        images={"paths": [f"{BUCKET}/sky/exp*.fits"]},
        run={"directory": f"{BUCKET}/{name}"},
        **sections,
    )


def alignsvc(*arguments: object) -> subprocess.CompletedProcess[str]:
    program = "import sys; from alignsvc.cli.main import main; sys.argv[0] = 'alignsvc'; main()"
    command = [sys.executable, "-c", program, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=600)


@pytest.fixture(scope="module")
def undisturbed(sky: Path) -> UrlPlace:
    """A run by two workers."""
    config = in_bucket(sky.parent, "undisturbed", cluster={"backend": "local"})
    result = api.align(config, api.RunOptions(workers=2))
    assert isinstance(result.directory, UrlPlace)
    return result.directory


def test_it_gives_what_a_run_on_a_disk_gives_bit_for_bit(
    undisturbed: UrlPlace, wanted: dict[str, str]
) -> None:
    assert products(undisturbed) == wanted


def test_tasks_and_disk_are_those_predicted(undisturbed: UrlPlace) -> None:
    """Tasks to the last; what the bucket holds at the end within a factor of 1.5."""
    report = json.loads(BucketObjects(undisturbed).get("report.json"))
    for row in report["needs"]:
        assert row["tasks"] == row["predicted_tasks"], row
    found = report["disk"]
    assert 1 / 1.5 < found["predicted_bytes"] / found["bytes"] < 1.5


def test_the_commands_take_its_url(undisturbed: UrlPlace, sky: Path) -> None:
    status = alignsvc("status", undisturbed, "--json")
    assert json.loads(status.stdout)["standing"] == "finished"
    assert json.loads(status.stdout)["directory"] == str(undisturbed)
    again = alignsvc("run", sky.parent / "undisturbed.yaml", "--json")
    assert json.loads(again.stdout)["headers"][0] == f"{undisturbed}/wcs/exp000.fits"
    assert alignsvc("resume", undisturbed).returncode == again.returncode
    report = alignsvc("report", undisturbed)
    assert f"{undisturbed}/report.html" in report.stdout
    copied = alignsvc("apply", undisturbed, "--to", f"{BUCKET}/copies")
    assert copied.returncode == 0, copied.stderr
    copies, there = BucketObjects(UrlPlace(f"{BUCKET}/copies")), BucketObjects(undisturbed)
    assert {name: copies.get(name) for name in copies.list("")} == {
        name.removeprefix("wcs/"): there.get(name) for name in there.list("wcs/")
    }
    for ended in (status, again, report, copied):
        assert "nobody-must-see-this" not in ended.stdout + ended.stderr
    kept = BucketObjects(undisturbed)
    for name in ("config.yaml", "report.json", *kept.list("journal/")):
        assert b"nobody-must-see-this" not in kept.get(name)


def test_lost_late_and_cut_answers_change_no_bit(
    server: str,
    undisturbed: UrlPlace,
    wanted: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hurry(monkeypatch)
    monkeypatch.setattr(bucket_clients, "_TIMEOUT", timedelta(seconds=2))
    with faulty_proxy(server) as proxy:
        proxy.plan, proxy.slow_s = at_random(seed=5, share=0.1, slow_share=0.003), 3.0
        use_server(monkeypatch, proxy.address)
        run = api.align(in_bucket(tmp_path, "disturbed")).directory
        happened = dict(proxy.happened)
    assert all(happened[fault] > 5 for fault in PASSING)
    assert happened[Fault.SLOW] > 0
    use_server(monkeypatch, server)
    bucket_clients._made.cache_clear()
    assert products(run) == wanted
    assert names_left(run) == names_left(undisturbed)


@pytest.mark.parametrize("stage", ["resample", "measure"])
def test_a_driver_killed_in_the_middle_is_gone_on_with(
    undisturbed: UrlPlace, wanted: dict[str, str], tmp_path: Path, stage: str
) -> None:
    name = f"killed-{stage}"
    config, objects = in_bucket(tmp_path, name), BucketObjects(BUCKET / name)
    program = "import sys; from alignsvc import api; api.align(sys.argv[1])"
    driver = subprocess.Popen([sys.executable, "-c", program, str(config)])
    try:
        end = time.monotonic() + 300
        while len(objects.list(f"receipts/{stage}/")) < 3:
            assert driver.poll() is None and time.monotonic() < end
            time.sleep(0.02)
    finally:
        os.kill(driver.pid, signal.SIGKILL)
        driver.wait()
    ended = alignsvc("resume", objects.root)
    assert ended.returncode in (0, 4), ended.stderr
    assert products(objects.root) == wanted
    assert names_left(objects.root) == names_left(undisturbed)


def test_a_run_in_a_bucket_can_be_extended_its_tiles_are_copied_there(
    sky: Path, tmp_path: Path
) -> None:
    """One exposure joins three, which stay as they are."""

    def begun_and_extended(inputs: str, runs: str) -> api.RunResult:
        def config(name: str, last: int) -> Path:
            return write_config(
                tmp_path / f"{name}-{inputs[:2].strip('/')}.yaml",
                Path("not used"),
                images={"paths": [f"{inputs}/exp00{n}.fits" for n in range(last)]},
                run={"directory": f"{runs}/{name}"},
                output={"write_unconverged": True},
                alignment={"max_iterations": [6, 2]},
            )

        first = api.align(config("first", 3))
        return api.align(config("second", 4), extend=first.directory, freeze=True)

    here = begun_and_extended(str(sky), str(tmp_path))
    there = begun_and_extended(f"{BUCKET}/sky", str(BUCKET))
    assert products(there.directory) == products(here.directory)
    assert here.verdict is there.verdict


def test_a_run_in_a_bucket_is_followed_tried_again_and_cleaned(
    sky: Path, wanted: dict[str, str], tmp_path: Path
) -> None:
    """A file that is cut off is mended; meanwhile somebody submits the same run twice."""
    inputs, name = BucketObjects(BUCKET / "broken"), "tried-again"
    for file in sky.glob("*.fits"):
        content = file.read_bytes()
        inputs.put(file.name, content[:1000] if file.stem == "exp001" else content)
    images = {"paths": [f"{inputs.root}/exp*.fits"]}
    config = write_config(
        tmp_path / f"{name}.yaml",
        Path("not used"),
        images=images,
        run={"directory": f"{BUCKET}/{name}"},
    )
    followed: list[str] = []

    def follow(event: events.Event) -> None:
        if isinstance(event, events.PassSolved) and not followed:
            watching = threading.Thread(
                target=api.align, args=(config, api.RunOptions(listener=hear))
            )
            watching.start()
            assert attached.wait(300)
            others.append(watching)

    def hear(event: events.Event) -> None:
        if isinstance(event, events.Note) and "attached to it" in event.text:
            followed.append(event.text)
            attached.set()

    attached, others = threading.Event(), list[threading.Thread]()
    first = api.align(config, api.RunOptions(listener=follow))
    for other in others:
        other.join(300)
    assert followed and not any(other.is_alive() for other in others)
    assert first.counts[Status.FAILED] == 1
    run = first.directory
    assert alignsvc("retry", run, "--failed").returncode == 2
    inputs.put("exp001.fits", (sky / "exp001.fits").read_bytes())
    ended = alignsvc("retry", run, "--failed", "--json")
    assert ended.returncode in (0, 4), ended.stderr
    assert products(run) == wanted
    kept = BucketObjects(run)
    assert api.clean(run).n_bytes > 100_000
    assert not kept.list("mosaic.zarr/") and kept.exists("corrections.ecsv")
    assert api.clean(run).n_objects == 0
    assert alignsvc("status", run, "--json").returncode == 0
