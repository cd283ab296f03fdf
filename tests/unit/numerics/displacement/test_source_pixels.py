"""What is kept of a measurement for people to look at."""

from __future__ import annotations

import numpy as np

from alignsvc.numerics.displacement.source_pixels import SourcePixels


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
