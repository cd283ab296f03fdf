"""Runs on clusters of a dask-gateway: its own client, real workers, a stand-in for its server."""

from __future__ import annotations

import gc
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import dask.config
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "integration"))
from durable_runs import content, make_sky, write_config
from stand_in_gateway import NAME, PASSWORD, StandIn, stand_in_gateway

from alignsvc import api
from alignsvc.engine.base import RunContext
from alignsvc.engine.clusters import cluster_backend
from alignsvc.errors import ConfigError, ResourceError, TransientError
from alignsvc.io.objects import LocalObjects

pytestmark = pytest.mark.cluster


@pytest.fixture(autouse=True)
def _nothing_is_left_to_later_tests() -> Iterator[None]:
    """Collect what the library leaves: an error of its holds, in a circle, the answer it came from.

    If the connection is collected first, it complains of being open, in whatever test that is.
    """
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[StandIn]:
    """A gateway that lets in who has the password, as dask's own configuration file has it."""
    import dask_gateway  # noqa: F401 - its configuration would come over ours

    with (
        dask.config.set({"gateway.auth.kwargs": {"username": "me", "password": PASSWORD}}),
        stand_in_gateway(tmp_path / "gateway") as stand_in,
    ):
        yield stand_in


def on(gateway: StandIn, **more: object) -> dict[str, object]:
    where = {"address": gateway.address, "proxy_address": gateway.proxy_address}
    return {**where, "auth": "basic", "workers": 1, **more}


def test_a_run_on_a_gateways_cluster_gives_the_same_bits_and_stops_it(
    gateway: StandIn, tmp_path: Path
) -> None:
    sky = make_sky(tmp_path / "sky", count=3)
    wanted = content(api.align(write_config(tmp_path / "serial.yaml", sky)).directory)
    cluster = {"backend": "gateway", **on(gateway, workers=2, options={"cores": 2})}
    config = write_config(tmp_path / "run.yaml", sky, cluster=cluster)
    assert content(api.align(config).directory) == wanted
    assert gateway.options == {"cores": 2}
    assert gateway.asked[-1] == f"DELETE /api/v1/clusters/{NAME}"
    kept = (file for file in (tmp_path / "run").rglob("*") if file.is_file())
    assert not any(PASSWORD.encode() in file.read_bytes() for file in kept)


def test_what_a_gateway_refuses_is_told_in_our_words(gateway: StandIn, tmp_path: Path) -> None:
    context = RunContext(LocalObjects(tmp_path))
    with pytest.raises(ConfigError, match=r"no option 'cors' \(known: cores\)"):
        cluster_backend("gateway", on(gateway, options={"cors": 2}))(context)
    with (
        dask.config.set({"gateway.auth.kwargs": {"username": "me", "password": "guessed"}}),
        pytest.raises(ConfigError, match=r"does not let us in \(401\)"),
    ):
        cluster_backend("gateway", on(gateway))(context)
    gateway.fails = True
    with pytest.raises(ResourceError, match=f"cluster {NAME} did not start, it is failed"):
        cluster_backend("gateway", on(gateway))(context)
    # It was handed over, so it is not left.
    assert gateway.asked[-1] == f"DELETE /api/v1/clusters/{NAME}"


def test_a_gateway_that_is_not_there_can_be_tried_again(tmp_path: Path) -> None:
    backend = cluster_backend(
        "gateway", {"address": "http://127.0.0.1:9", "auth": "basic", "workers": 1}
    )
    with pytest.raises(TransientError, match="no answer"):
        backend(RunContext(LocalObjects(tmp_path)))
