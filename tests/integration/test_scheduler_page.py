"""The page on a scheduler's dashboard: what it answers is what the run's store says."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.error import HTTPError

import dask.config
import pytest
from durable_runs import make_sky, write_config

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from page_servers import page_server
from synthetic_runs import SyntheticRun

from alignsvc.api import align, status
from alignsvc.domain.outcome import Status, Verdict
from alignsvc.engine.base import RunContext, ShownPages
from alignsvc.engine.clusters import cluster_backend
from alignsvc.engine.run_pages import DASKS_LINK, RUN_PAGES, links_to
from alignsvc.io.control import LivePages, put_live_pages
from alignsvc.io.journal import ExposureEnded, Finished, StageFinished, VerdictGiven
from alignsvc.io.journal_store import Journal
from alignsvc.io.lease import Patience, take_lease
from alignsvc.io.objects import LocalObjects
from alignsvc.run.driving.service import RunOptions
from alignsvc.run.records import events
from alignsvc.run.seeing import SCHEDULER_PAGE
from alignsvc.run.seeing.parts import PARTS, ShownParts, picture_json
from alignsvc.run.seeing.picture import RunViewer
from alignsvc.run.seeing.scheduler_page import RunPages, dask_setup
from alignsvc.run.seeing.served_parts import ServedRun


@dataclass
class Answer:
    """What a server said."""

    status: int
    headers: Any
    content: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.content)


@dataclass
class Server:
    """The page's routes, on a port of this machine."""

    pages: RunPages
    url: str = ""

    def get(self, path: str, **headers: str) -> Answer:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        request = urllib.request.Request(f"{self.url}/{path}", headers=sent)
        try:
            with OPENER.open(request, timeout=60) as answer:
                return Answer(answer.status, answer.headers, answer.read())
        except HTTPError as error:
            with error:
                return Answer(error.code, error.headers, error.read())


OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@pytest.fixture
def server() -> Iterator[Server]:
    with page_server() as made:
        yield Server(made.pages, made.url)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return SyntheticRun(tmp_path / "run", 60, 2).make()


def test_only_what_an_event_changes_is_made_again(tmp_path: Path) -> None:
    run = SyntheticRun(tmp_path / "run", 6, 2, is_finished=False).make()
    viewer, shown, book = RunViewer(run), ShownParts(), Journal(LocalObjects(run), time.time)
    assert [part.name for part in shown.news(viewer.look())] == [part.name for part in PARTS]
    book.append(StageFinished("resample", 3, 6, 0, 0, 0))
    assert [part.name for part in shown.news(viewer.look())] == ["moment"]
    book.append(ExposureEnded("night1/exp00001", Status.FAILED, "no_wcs", "no WCS"))
    assert [part.name for part in shown.news(viewer.look())] == ["moment", "exposures", "passes"]
    book.append(VerdictGiven("night2/exp00002", Verdict.IMPROVED, 1.2, 0.012))
    assert [part.name for part in shown.news(viewer.look())] == ["moment", "exposures"]
    book.append(Finished(0))
    assert [part.name for part in shown.news(viewer.look())] == ["moment", "exposures"]


def test_the_parts_together_are_the_picture(server: Server, run: Path) -> None:
    at = server.pages.show(str(run)).removeprefix("alignsvc?")
    wanted = json.loads(json.dumps(picture_json(RunViewer(run).look())))
    found: dict[str, Any] = {}
    for part in PARTS:
        found |= server.get(f"alignsvc/parts/{part.name}?{at}").json
    for changing in ("now_s",):
        assert found.pop(changing) >= wanted.pop(changing)
    wanted["status"].pop("silence_s"), found["status"].pop("silence_s")
    assert found == wanted
    assert len(found["exposures"]["id"]) == 60


def test_what_a_page_has_is_not_sent_again(server: Server, run: Path) -> None:
    at = server.pages.show(str(run)).removeprefix("alignsvc?")
    first = server.get(f"alignsvc/parts/passes?{at}")
    again = server.get(f"alignsvc/parts/passes?{at}", If_None_Match=first.headers["ETag"])
    assert (again.status, again.content) == (304, b"")
    packed = server.get(f"alignsvc/parts/passes?{at}", Accept_Encoding="gzip")
    assert packed.headers["Content-Encoding"] == "gzip"
    assert len(packed.content) < 0.7 * len(first.content)


def test_a_prefix_of_a_proxy_makes_no_difference(server: Server, run: Path) -> None:
    at = server.pages.show(str(run))
    page = server.get(f"somebody/proxy/8787/{at}")
    assert b'src="alignsvc/page.js"' in page.content
    assert b'="/' not in page.content
    assert server.get("somebody/proxy/8787/alignsvc/page.css").status == 200
    assert server.get("somebody/proxy/8787/alignsvc/runs").json["pages"] == ["status"]


def test_only_runs_that_were_announced_are_shown(server: Server, run: Path) -> None:
    assert server.get("alignsvc/runs").json["runs"] == []
    for name in (str(run), "../run", "0123456789ab"):
        assert server.get(f"alignsvc/parts/moment?run={name}").status == 404
    at = server.pages.show(str(run)).removeprefix("alignsvc?")
    assert server.get(f"alignsvc/parts/moment?{at}").status == 200
    assert server.get(f"alignsvc/parts/secrets?{at}").status == 404
    assert server.get("alignsvc/parts/moment").status == 400


def test_nothing_can_be_done_from_it_and_no_text_is_a_script(server: Server, run: Path) -> None:
    at = server.pages.show(str(run))
    for path in (at, at.replace("?", "/parts/moment?")):
        request = urllib.request.Request(f"{server.url}/{path}", data=b"{}", method="POST")
        with pytest.raises(HTTPError, match="405") as refused:
            OPENER.open(request, timeout=60)
        refused.value.close()
    policy = server.get(at).headers["Content-Security-Policy"]
    assert "script-src 'self';" in policy
    assert b"<script>" not in server.get(at).content


def test_a_run_that_this_host_cannot_read_says_so(server: Server, tmp_path: Path) -> None:
    at = server.pages.show(str(tmp_path / "elsewhere")).removeprefix("alignsvc?")
    told = server.get(f"alignsvc/parts/passes?{at}").json["trouble"]
    assert f"{tmp_path}/elsewhere cannot be shown by " in told
    assert "not a run directory" in told


def test_many_pages_are_one_look(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now_s, looks = [0.0], []
    look = RunViewer.look
    monkeypatch.setattr(RunViewer, "look", lambda self: looks.append(1) or look(self))
    served = ServedRun(run, lambda: now_s[0])
    for _ in range(3):
        for part in PARTS:
            served.part(part.name)
    assert len(looks) == 1
    passes = served.part("passes")
    now_s[0] = 1.5
    assert served.part("passes") is passes
    assert len(looks) == 2


def test_a_scheduler_that_stands_forgets_old_runs(tmp_path: Path) -> None:
    pages = RunPages()
    first = pages.show(str(tmp_path / "0"))
    for k in range(1, 51):
        pages.show(str(tmp_path / str(k)))
    assert len(pages.runs) == 50
    assert first.removeprefix("alignsvc?run=") not in dict(pages.runs)
    assert pages.runs[0][1] == str(tmp_path / "50")
    pages.readers.shutdown()


def test_dasks_own_pages_are_linked_where_there_are_any() -> None:
    drawn_by_bokeh = SimpleNamespace(app_paths=())
    for served, has_status in (([], False), ([SimpleNamespace()], False), ([drawn_by_bokeh], True)):
        added: list[Any] = []
        scheduler = SimpleNamespace(
            extensions={},
            http_application=SimpleNamespace(applications=served, add_application=added.append),
        )
        dask_setup(scheduler)
        assert len(added) == 1
        pages = scheduler.extensions[RUN_PAGES]
        assert ("status" in pages.dasks_pages) == has_status
        pages.readers.shutdown()


def test_links_follow_dasks_own_setting_where_somebody_set_it() -> None:
    assert dask.config.get("distributed.dashboard.link") == DASKS_LINK
    (link,) = links_to("127.0.0.1").values()
    assert str(link).format(scheme="http", port=1) == "http://127.0.0.1:1/status"
    own = "{JUPYTERHUB_SERVICE_PREFIX}proxy/{port}/status"
    with dask.config.set({"distributed.dashboard.link": own}):
        assert links_to("127.0.0.1") == {}


def test_status_has_the_link_while_the_driver_is_there(tmp_path: Path) -> None:
    run = SyntheticRun(tmp_path / "run", 6, 1, is_finished=False).make()
    objects = LocalObjects(run)
    with take_lease(objects, Patience(lambda: 1.7e9, lambda s: None, print)) as lease:
        lease.renew(time.time())
        put_live_pages(objects, LivePages(lease.epoch - 1, "http://127.0.0.1:1/alignsvc"))
        assert status(run).as_json()["live_page"] is None  # an earlier driver's
        page = "http://127.0.0.1:2/alignsvc?run=ab"
        put_live_pages(objects, LivePages(lease.epoch, page, host="node17"))
        told = status(run)
        assert told.as_json()["live_page"] == page
        assert f"live page: {page} (on node17)" in told.lines()
    assert status(run).as_json()["live_page"] is None


@pytest.mark.cluster
def test_the_scheduler_of_a_run_shows_it(tmp_path: Path) -> None:
    config = write_config(
        tmp_path / "run.yaml",
        make_sky(tmp_path / "sky"),
        cluster={"backend": "local", "workers": 1},
    )
    seen: list[Any] = []
    links: list[str] = []

    def look(event: events.Event) -> None:
        if isinstance(event, events.Note) and "live page" in event.text:
            links.append(event.text.split()[2])
        if isinstance(event, events.PassSolved):
            told = status(tmp_path / "run").as_json()
            assert told["live_page"] == links[0]
            assert told["dashboard"] == f"{links[0].split('alignsvc?')[0]}status"
            time.sleep(1.1)  # nobody makes it look more than once a second
            seen.append(read(links[0].replace("?", "/parts/passes?")))
            assert b"bokeh" in fetched(str(told["dashboard"]))

    align(config, RunOptions(listener=look))
    wanted = json.loads(json.dumps(picture_json(RunViewer(tmp_path / "run").look())["passes"]))
    # What is told of a pass is journaled before it.
    assert [len(one["passes"]) for one in seen] == [1, 2]
    assert seen[-1]["passes"] == wanted
    assert status(tmp_path / "run").as_json()["live_page"] is None


@pytest.mark.cluster
def test_a_scheduler_behind_a_hub_is_linked_as_its_owner_sees_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JUPYTERHUB_SERVICE_PREFIX", "/user/ada/")
    own = "{JUPYTERHUB_SERVICE_PREFIX}proxy/{port}/status"
    context = RunContext(LocalObjects(tmp_path), preload=(SCHEDULER_PAGE,))
    with (
        dask.config.set({"distributed.dashboard.link": own}),
        cluster_backend("local", {"workers": 1})(context) as executor,
    ):
        assert re.fullmatch(r"/user/ada/proxy/\d+/status", executor.pages.dashboard)
        assert re.fullmatch(r"/user/ada/proxy/\d+/alignsvc\?run=\w{12}", executor.pages.run)
        assert executor.pages.host == ""


_LOOKED_AT = """
import sys
from pathlib import Path
from urllib.request import ProxyHandler, build_opener
from alignsvc.engine.base import RunContext
from alignsvc.engine.clusters import cluster_backend
from alignsvc.io.objects import LocalObjects

if __name__ == "__main__":
    context = RunContext(LocalObjects(Path(sys.argv[1])))
    with cluster_backend("local", {"workers": 1})(context) as executor:
        print("bokeh" in sys.modules)
        look = build_opener(ProxyHandler({})).open
        for page in ("individual-cpu?theme=dark", "", "status"):
            with look(executor.pages.dashboard.replace("status", page), timeout=60) as answer:
                print(b"bokeh" in answer.read(), answer.url.rpartition("/")[2])
"""


@pytest.mark.cluster
def test_dasks_own_pages_are_made_when_somebody_looks_and_cost_nothing_before(
    tmp_path: Path,
) -> None:
    script = tmp_path / "look.py"
    script.write_text(_LOOKED_AT)
    command = [sys.executable, str(script), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    told = ["False", "True individual-cpu?theme=dark", "True status", "True status"]
    assert done.stdout.splitlines() == told


@pytest.mark.cluster
def test_a_cluster_without_pages_says_that_it_has_none(tmp_path: Path) -> None:
    context = RunContext(LocalObjects(tmp_path), preload=(SCHEDULER_PAGE,))
    with cluster_backend("local", {"workers": 1, "dashboard": False})(context) as executor:
        assert executor.pages == ShownPages()


def fetched(url: str) -> bytes:
    with OPENER.open(url, timeout=60) as answer:
        return bytes(answer.read())


def read(url: str) -> Any:
    return json.loads(fetched(url))
