"""The worst exposures seen from near, for the page: as many as it has room for."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from alignsvc.io.objects import ObjectStore
from alignsvc.run.records.state import RunState
from alignsvc.run.seeing.detail_json import detail_json
from alignsvc.run.seeing.exposure_detail import find_kept_detail

#: Exposures that are tried, and sources of each whose pixels are shown.
_MOST_EXPOSURES, _MOST_CUTOUTS = 10, 8
#: Bytes of all of them together.
_ROOM = 6_000_000


def worst_details(
    objects: ObjectStore, state: RunState, exposures: Sequence[str], room: int = _ROOM
) -> dict[str, Any]:
    """Return the first exposures that a run keeps sources of, as `detail_json` has them.

    Parameters
    ----------
    objects : ObjectStore
    state : RunState
    exposures : sequence of str
        Ids, the worst first.
    room : int
        Bytes; an exposure that has more sources than there is room for is left out.

    Returns
    -------
    dict of exposure id to mapping
        In the order given.

    Raises
    ------
    RunStoreError
        The store cannot be read.
    """
    found: dict[str, Any] = {}
    for name in exposures[:_MOST_EXPOSURES]:
        detail = find_kept_detail(objects, name, state)
        if detail is None or detail.residuals is None:
            continue
        told = detail_json(detail, _MOST_CUTOUTS)
        size = len(json.dumps(told))
        if size <= room:
            room -= size
            found[name] = told
    return found
