"""How much the pixels kept for people may take: never more than the run's budget."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from alignsvc.io.objects import LocalObjects
from alignsvc.numerics.displacement.pictured import Pictured
from alignsvc.numerics.displacement.source_pixels import SourcePixels
from alignsvc.numerics.displacement.worst_sources import Badness
from alignsvc.run.stages.history import LEAST_ROOM_BYTES, shared_room
from alignsvc.tasks.diagnostics import PIXELS, write_pixels

INFINITE = float("inf")


@given(
    budget=st.integers(0, 10**7),
    rms=st.lists(st.one_of(st.floats(0, 1), st.just(INFINITE)), max_size=600),
)
def test_all_rooms_together_fit_the_budget(budget: int, rms: list[float]) -> None:
    trouble = {f"exp{k:04d}": value for k, value in enumerate(rms)}
    rooms = shared_room(budget, trouble)
    assert sum(rooms.values()) <= budget
    assert len(set(rooms.values())) <= 1
    assert all(room >= LEAST_ROOM_BYTES for room in rooms.values())
    if budget >= LEAST_ROOM_BYTES * len(trouble):
        assert rooms.keys() == trouble.keys()
    else:
        assert len(rooms) == budget // LEAST_ROOM_BYTES
        worst = min((trouble[name] for name in rooms), default=INFINITE)
        assert all(trouble[name] <= worst for name in trouble.keys() - rooms.keys())


def test_where_room_is_short_those_in_trouble_have_it() -> None:
    trouble = {"a": 0.01, "b": 0.5, "c": INFINITE, "d": 0.5}
    assert list(shared_room(2 * LEAST_ROOM_BYTES, trouble)) == ["c", "b"]
    assert shared_room(0, trouble) == {}
    assert shared_room(10**6, {}) == {}


@given(room=st.integers(1, 40_000), n=st.integers(0, 8), side=st.sampled_from([16, 24]))
def test_a_file_is_never_larger_than_its_room(room: int, n: int, side: int) -> None:
    one = np.arange(n)
    plane = np.ones((n, side, side), np.float32)
    none = np.zeros((n, 0, 0), np.float32)
    pixels = SourcePixels(one, one * 0, one, one, plane, plane, plane[:, :9, :9], none)
    bad = Badness(one.astype(float), np.ones(n, bool), np.ones(n))
    written: dict[str, bytes] = {}

    class Kept(LocalObjects):
        def __init__(self) -> None:
            pass

        def put(self, name: str, content: bytes) -> None:
            written[name] = content

    write_pixels(Kept(), "history/pass-0001/a", Pictured(pixels, bad), room)
    assert all(len(content) <= room for content in written.values())
    assert set(written) <= {f"history/pass-0001/a{PIXELS}"}
