"""What makes an array or a group of zarr of what lies beside it, as zarr itself writes it."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any, Literal, cast

import numpy as np

from alignsvc.errors import DamagedProduct
from alignsvc.io.codec import Json, dumps
from alignsvc.io.objects import ObjectStore
from alignsvc.io.shards import Shards

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
        return cast("dict[str, Json]", dict(_described("group", content)["attributes"]))
    except (ValueError, KeyError, TypeError) as error:
        raise DamagedProduct(f"{name}/{METADATA} is damaged ({error})") from error


def array_metadata(shape: tuple[int, ...], shards: Shards) -> bytes:
    """Return the metadata of an array whose tiles are stored so, and hold all its planes."""
    planes = shape[:-2]
    little: Json = {"name": "bytes", "configuration": {"endian": "little"}}
    squeezed: Json = {
        "name": "blosc",
        "configuration": {
            "typesize": shards.dtype.itemsize,
            "cname": "lz4",
            "clevel": 5,
            "shuffle": "shuffle",
            "blocksize": 0,
        },
    }
    checksum: Json = {"name": "crc32c"}
    sharding: dict[str, Json] = {
        "chunk_shape": [*(1 for _ in planes), *shards.part],
        "codecs": [little, squeezed, checksum],
        "index_codecs": [little, checksum],
        "index_location": "end",
    }
    return dumps(
        {
            "shape": [*shape],
            "data_type": shards.dtype.name,
            "chunk_grid": {
                "name": "regular",
                "configuration": {"chunk_shape": [*planes, *shards.tile]},
            },
            "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
            "fill_value": 0,
            "codecs": [{"name": "sharding_indexed", "configuration": sharding}],
            "attributes": {},
            "zarr_format": ZARR_FORMAT,
            "node_type": "array",
            "storage_transformers": [],
        }
    )


def array_from(content: bytes) -> tuple[tuple[int, ...], Shards]:
    """Return the shape of an array, and how its tiles are stored.

    Raises
    ------
    ValueError, KeyError, TypeError
        The metadata is not what `array_metadata` returned.
    """
    found = _described("array", content)
    shape = tuple(int(n) for n in found["shape"])
    *planes, ny, nx = (int(n) for n in found["chunk_grid"]["configuration"]["chunk_shape"])
    (sharding,) = found["codecs"]
    *_, height, width = (int(n) for n in sharding["configuration"]["chunk_shape"])
    dtype = np.dtype(found["data_type"]).newbyteorder("<")
    shards = Shards(math.prod(planes), (ny, nx), (height, width), dtype)
    if content != array_metadata(shape, shards):
        raise ValueError("not what was written")
    return shape, shards


def _described(kind: str, content: bytes) -> dict[str, Any]:
    """Return the metadata of an array or a group; ValueError if it is not that."""
    found: dict[str, Any] = json.loads(content)
    if (found["node_type"], found["zarr_format"]) != (kind, ZARR_FORMAT):
        raise ValueError(f"no {kind} of zarr {ZARR_FORMAT}")
    return found
