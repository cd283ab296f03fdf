"""Texts from outside: what headers, names of files and libraries say does no harm here."""

from __future__ import annotations

import base64
import hashlib
import json
from html.parser import HTMLParser
from pathlib import Path

import pytest
from astropy.io import fits
from durable_runs import make_sky, write_config

from alignsvc.cli.main import exit_code
from alignsvc.domain.outcome import ExitCode, TaskOutcome
from alignsvc.tasks.resample import ResampleTask
from alignsvc.views import report_page

SCRIPT = "<script>alert(1)</script>"
SECRET = "wJalrXUtnFEMI0K7MDENGbPxRfiCYEXAMPLEKEY"
VARIABLES = (
    *("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "JUPYTERHUB_API_TOKEN"),
    *("DASK_GATEWAY__AUTH__KWARGS__PASSWORD", "GOOGLE_APPLICATION_CREDENTIALS"),
)


@pytest.fixture
def sky(tmp_path: Path) -> Path:
    """Exposures with names and headers that mean harm."""
    sky = make_sky(tmp_path / "sky", count=3)
    first = sorted(sky.glob("*.fits"))[0]
    for file in sky.glob("*.fits"):
        for name in ("OBJECT", "FILTER", "WCSNAME"):
            fits.setval(file, name, value=SCRIPT)
    first.rename(sky / "a\"'<img src=x onerror=alert(1)>&.fits")
    return sky


class Seen(HTMLParser):
    """What a browser would make of a page: scripts by their type, and the text that is read."""

    def __init__(self) -> None:
        super().__init__()
        self.elements: set[str] = set()
        self.attributes: set[str] = set()
        self.scripts: list[tuple[str, str]] = []
        self.policy = ""
        self.text = ""
        self._script: str | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.elements.add(tag)
        self.attributes |= given.keys()
        self._script = given.get("type", "") if tag == "script" else None
        if given.get("http-equiv") == "Content-Security-Policy":
            self.policy = given["content"]

    def handle_endtag(self, tag: str) -> None:
        self._script = None

    def handle_data(self, data: str) -> None:
        if self._script is None:
            self.text += data
        else:
            self.scripts.append((self._script, data))


def digest(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def test_a_run_shows_hostile_text_as_text_and_keeps_no_credential(
    sky: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    for name in VARIABLES:
        monkeypatch.setenv(name, SECRET)
    work = ResampleTask.__call__
    victims: list[str] = []

    def fails_once(task: ResampleTask) -> TaskOutcome:
        """Fail as a library does that says all it knows, and that it was asked to write HTML."""
        if not victims or task.key.subject in victims:
            victims.append(task.key.subject)
            raise RuntimeError(f"{SCRIPT} https://me:{SECRET}@host.org/a.fits?sig={SECRET}")
        return work(task)

    monkeypatch.setattr(ResampleTask, "__call__", fails_once)
    config = write_config(tmp_path / "run.yaml", sky, alignment={"max_iterations": [1, 1]})
    assert exit_code(["run", str(config)]) in (ExitCode.SOME_FAILED, ExitCode.NOT_CONVERGED)
    run = tmp_path / "run"
    exit_code(["status", str(run)])
    exit_code(["report", str(run)])
    out, err = capfd.readouterr()
    assert "https://***@host.org" in (run / "report.json").read_text()
    assert SECRET not in out + err
    holds = [file for file in run.rglob("*") if file.is_file() and SECRET in content(file)]
    assert holds == []

    page = Seen()
    page.feed((run / "report.html").read_text())
    assert {"img", "i", "b", "iframe", "object", "embed", "link"} & page.elements == set()
    # Nothing is fetched, and no attribute runs anything.
    assert {name for name in page.attributes if name.startswith("on")} == set()
    assert {"src", "href", "srcdoc", "action"} & page.attributes == set()
    assert "<img src=x onerror=alert(1)>&" in page.text
    assert SCRIPT in page.text
    # What runs is what the program brings, the same for every run; the browser is told so. What is
    # from outside is data, of which no text can end the element that it stands in.
    (script,) = [content for kind, content in page.scripts if kind == "module"]
    own = Seen()
    own.feed(report_page("a title", "", {}))
    assert ("module", script) in own.scripts
    assert f"script-src 'sha256-{digest(script)}';" in page.policy
    assert "default-src 'none'" in page.policy
    assert {kind for kind, _ in page.scripts} == {"application/json", "module"}
    data = [content for kind, content in page.scripts if kind == "application/json"]
    assert not any("<" in content for content in data)
    assert any("onerror" in one for one in json.loads(data[0])["exposures"]["id"])


def content(file: Path) -> str:
    return file.read_bytes().decode("latin-1")


@pytest.mark.parametrize(
    ("section", "key"),
    [
        ({"images": {"paths": [f"https://me:{SECRET}@host.org/*.fits"]}}, "images.paths"),
        ({"images": {"paths": [f"https://b.org/a.fits?X-Amz-Signature={SECRET}"]}}, "images.paths"),
        ({"cluster": {"backend": "gateway", "password": SECRET}}, "cluster.password"),
    ],
)
def test_a_configuration_with_credentials_is_refused_and_not_repeated(
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    section: dict[str, dict[str, object]],
    key: str,
) -> None:
    config = write_config(tmp_path / "run.yaml", tmp_path, **section)
    assert exit_code(["run", str(config)]) == ExitCode.BAD_CONFIGURATION
    out, err = capfd.readouterr()
    assert key in err
    assert "holds credentials" in err
    assert SECRET not in out + err
    assert not (tmp_path / "run").exists()
