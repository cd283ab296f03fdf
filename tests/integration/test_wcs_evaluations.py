"""A run asks a WCS for a few thousand places, never for those of every pixel."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from astropy.wcs import WCS

N_EXPOSURES, SIDE = 3, 256
#: Of a lattice over a chip of 256 px with its margins: 7 x 7 nodes, and as many sources at most.
MOST_AT_ONCE = 150


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The number of points of each call that reaches wcslib, or the distortions before it."""
    counts: list[int] = []
    for name in ("wcs_pix2world", "wcs_world2pix", "all_pix2world", "all_world2pix"):
        monkeypatch.setattr(WCS, name, counted(getattr(WCS, name), counts))
    return counts


def counted(method: Callable[..., Any], counts: list[int]) -> Callable[..., Any]:
    def call(wcs: WCS, first: Any, *others: Any, **named: Any) -> Any:
        counts.append(len(np.atleast_1d(first)))
        return method(wcs, first, *others, **named)

    return call


@pytest.mark.parametrize("resampler", ["drizzle", "interpolate"])
def test_places_come_from_lattices(work, command, asked, resampler) -> None:
    config = work.config(
        {"mosaic.resampler": {"name": resampler}, "output.wcs": "none", "output.mosaic": "fits"}
    )
    assert command("run", config).code == 0
    assert max(asked) <= MOST_AT_ONCE
    # All passes and tasks together: less than a tenth of one look at every pixel.
    assert sum(asked) < 0.1 * N_EXPOSURES * SIDE**2
