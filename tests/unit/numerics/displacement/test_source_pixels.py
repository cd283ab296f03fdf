"""What is kept of a measurement for people to look at."""

from __future__ import annotations

import dataclasses

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from alignsvc.io.tables import bytes_from_table
from alignsvc.numerics.displacement.source_pixels import SourcePixels, within_room


def pixels(side: int, lags: int, source: int) -> SourcePixels:
    one = np.array([source])
    cutout = np.full((1, side, side), source, np.float32)
    scores = np.zeros((1, lags, lags), np.float32)
    scores[0, lags // 2, lags // 2] = 1
    corner = (np.array([10]), np.array([20]))
    none = np.zeros((1, 0, 0), np.float32)
    return SourcePixels(one, one * 0, *corner, cutout, cutout, scores, none)


def test_small_cutouts_get_a_frame_and_keep_their_place() -> None:
    both = SourcePixels.concatenate([pixels(16, 17, source=3), pixels(24, 21, source=8)])
    assert both.source.tolist() == [3, 8]
    assert both.cutout.shape == both.blot.shape == (2, 24, 24)
    assert np.isnan(both.cutout[0]).sum() == 24**2 - 16**2
    # The pixel that was the first of the small cutout is the fifth now; the corner says so.
    assert both.corner_x.tolist() == [6, 10]
    assert both.corner_y.tolist() == [16, 20]
    assert both.cutout[0, 4, 4] == 3
    # No shift stays in the middle of the map.
    assert both.correlation[:, 10, 10].tolist() == [1, 1]


def test_nothing_together_is_nothing() -> None:
    assert len(SourcePixels.concatenate([])) == 0


def several(sides: list[int], with_model: list[bool] | None = None) -> SourcePixels:
    """Return sources of several sizes in one table, the first of id 0."""
    parts = []
    for k, side in enumerate(sides):
        one = pixels(side, 2 * (side // 8) + 1, source=k)
        if with_model is not None and with_model[k]:
            one = dataclasses.replace(one, model=one.cutout)
        parts.append(one)
    return SourcePixels.concatenate(parts)


def test_models_are_as_large_as_cutouts_where_the_largest_of_these_has_none() -> None:
    both = several([16, 24], with_model=[True, False])
    assert both.model.shape == both.cutout.shape == (2, 24, 24)
    kept = within_room(both, np.array([0, 1]), 10**6)
    assert kept.model.shape == kept.cutout.shape
    np.testing.assert_array_equal(kept.model[0], kept.cutout[0])
    assert np.isnan(kept.model[1]).all()


def test_a_wide_source_that_would_take_the_room_of_many_is_left_out() -> None:
    many = several([16, 96, 16, 16])
    room = len(bytes_from_table(many.select(np.array([0, 2, 3])).without_frames(many.widths[0])))
    kept = within_room(many, np.array([0, 1, 2, 3]), room)
    assert kept.source.tolist() == [0, 2, 3]
    # Its frames went with it.
    assert kept.cutout.shape == (3, 16, 16)
    assert np.isfinite(kept.cutout).all()
    assert kept.corner_x.tolist() == [10, 10, 10]


def test_of_nothing_nothing_is_kept() -> None:
    none = SourcePixels.concatenate([])
    assert len(within_room(none, np.zeros(0, np.int64), 1 << 20)) == 0
    assert len(SourcePixels.concatenate([none, none])) == 0


def test_the_most_wanted_come_first() -> None:
    kept = within_room(several([16, 16, 16]), np.array([2, 0, 1]), 1 << 20)
    assert kept.source.tolist() == [2, 0, 1]


@given(
    sides=st.lists(st.sampled_from([16, 24, 64]), min_size=1, max_size=6),
    room=st.integers(0, 120_000),
    seed=st.integers(0, 99),
)
def test_what_is_kept_never_takes_more_than_its_room(
    sides: list[int], room: int, seed: int
) -> None:
    random = np.random.default_rng(seed)
    many = several(sides, (random.random(len(sides)) < 0.5).tolist())
    order = random.permutation(len(sides))
    kept = within_room(many, order, room)
    arrays = [getattr(kept, field.name) for field in dataclasses.fields(kept)]
    assert sum(one.nbytes for one in arrays) <= room
    for source, has in zip(kept.source, np.isfinite(kept.model).any(axis=(1, 2)), strict=True):
        assert has == np.isfinite(many.model[source]).any()
