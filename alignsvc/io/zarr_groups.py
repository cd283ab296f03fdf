"""What makes an array or a group of zarr of what lies beside it; groups and their attributes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Literal, cast

from alignsvc.errors import DamagedProduct
from alignsvc.io.codec import Json, dumps
from alignsvc.io.objects import ObjectStore

#: The object that makes an array, or a group, of what lies beside it.
METADATA = "zarr.json"
ZARR_FORMAT: Literal[3] = 3


def create_group(objects: ObjectStore, name: str, attributes: Mapping[str, Json]) -> None:
    """Write the metadata of a zarr group, in place of what was there; empty = all objects."""
    content = dumps(
        {"attributes": dict(attributes), "zarr_format": ZARR_FORMAT, "node_type": "group"}
    )
    objects.put(f"{name}/{METADATA}" if name else METADATA, content)


def group_attributes(objects: ObjectStore, name: str) -> dict[str, Json]:
    """Return what was stored with a group when it was made.

    Raises
    ------
    DamagedProduct
        There is none, or its metadata cannot be read.
    """
    content = objects.find(f"{name}/{METADATA}")
    if content is None:
        raise DamagedProduct(f"there is no {name}")
    try:
        return cast("dict[str, Json]", dict(described("group", content)["attributes"]))
    except (ValueError, KeyError, TypeError) as error:
        raise DamagedProduct(f"{name}/{METADATA} is damaged ({error})") from error


def described(kind: str, content: bytes) -> dict[str, Any]:
    """Return the metadata of an array or a group.

    Raises
    ------
    ValueError, KeyError, TypeError
        It is not that.
    """
    found: dict[str, Any] = json.loads(content)
    if (found["node_type"], found["zarr_format"]) != (kind, ZARR_FORMAT):
        raise ValueError(f"no {kind} of zarr {ZARR_FORMAT}")
    return found
