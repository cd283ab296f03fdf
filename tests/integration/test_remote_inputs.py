"""A run reads its exposures from an HTTP server; what the server does is said of each of them."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "unit" / "io"))
from durable_runs import make_sky, products, write_config
from object_servers import Site, http_site, hurry

from alignsvc import api
from alignsvc.domain.outcome import ExitCode, Status
from alignsvc.errors import ConfigError, TransientError
from alignsvc.io import bucket_clients
from alignsvc.reasons import FailureKind

NAMES = ("exp000", "exp001", "exp002")


@pytest.fixture(scope="module")
def sky(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_sky(tmp_path_factory.mktemp("remote") / "sky")


@pytest.fixture
def site(sky: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    hurry(monkeypatch)
    with http_site() as site:
        site.files = {f"/sky/{name}.fits": (sky / f"{name}.fits").read_bytes() for name in NAMES}
        yield site
    bucket_clients._made.cache_clear()


def config_of(site: Site, path: Path, *names: str, **sections: dict[str, object]) -> Path:
    paths = [f"{site.address}/sky/{name}.fits" for name in (*NAMES, *names)]
    return write_config(path, Path("not used"), images={"paths": paths}, **sections)


@pytest.mark.slow
def test_exposures_behind_urls_give_the_bits_of_those_on_a_disk(
    sky: Path, site: Site, tmp_path: Path
) -> None:
    wanted = api.align(write_config(tmp_path / "disk.yaml", sky))
    found = api.align(config_of(site, tmp_path / "web.yaml"))
    assert products(found.directory) == products(wanted.directory)


@pytest.mark.slow
def test_a_file_that_is_not_given_is_a_failed_exposure(site: Site, tmp_path: Path) -> None:
    site.files["/sky/secret.fits"], site.answers["/sky/secret.fits"] = b"x", [403] * 50
    result = api.align(config_of(site, tmp_path / "web.yaml", "gone", "secret"))
    rows = {row.id: row for row in result.corrections}
    assert {rows[name].status for name in NAMES} == {Status.ALIGNED}
    assert (rows["gone"].status, rows["gone"].reason) == (Status.FAILED, FailureKind.MISSING)
    assert (rows["secret"].status, rows["secret"].reason) == (Status.FAILED, FailureKind.UNREADABLE)
    assert f"{site.address}/sky/secret.fits" in rows["secret"].message
    assert result.exit_code in (ExitCode.SOME_FAILED, ExitCode.NOT_CONVERGED)


@pytest.mark.slow
def test_a_server_that_stumbles_in_a_run_is_asked_again_and_fails_no_exposure(
    sky: Path, site: Site, tmp_path: Path
) -> None:
    wanted = api.align(write_config(tmp_path / "disk.yaml", sky))
    site.answers = {path: [503, 500] for path in site.files}
    found = api.align(config_of(site, tmp_path / "web.yaml"))
    assert products(found.directory) == products(wanted.directory)


def test_a_server_that_is_down_is_no_fault_of_the_exposures(site: Site, tmp_path: Path) -> None:
    site.answers = {path: [500] * 1000 for path in site.files}
    with pytest.raises(TransientError, match=r"exp000.fits: the server did not answer well"):
        api.check(config_of(site, tmp_path / "web.yaml"))


def test_headers_behind_urls_are_not_written_in_place(site: Site, tmp_path: Path) -> None:
    config = config_of(site, tmp_path / "web.yaml", output={"wcs": "in_place"})
    with pytest.raises(ConfigError, match=r"in_place: http://\S+exp000.fits lies behind"):
        api.check(config)
