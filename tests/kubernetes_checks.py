"""What Kubernetes and the operator would say to a manifest, without either."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import dask_kubernetes
import jsonschema
import kubernetes_validate
import yaml

#: Of the schemas that manifests are compared with.
KUBERNETES = "1.34"

_CRDS = Path(dask_kubernetes.__file__).parent / (
    "operator/deployment/helm/dask-kubernetes-operator/crds"
)


class RefusedError(Exception):
    """A manifest is wrong; the text says where."""


def check(manifest: dict[str, Any]) -> None:
    """Raise RefusedError unless a manifest is right, with no key that its kind does not know."""
    try:
        if manifest["apiVersion"] == "kubernetes.dask.org/v1":
            _operators(manifest["kind"]).validate(manifest)
        else:
            kubernetes_validate.validate(manifest, KUBERNETES, strict=True)
    except (jsonschema.ValidationError, kubernetes_validate.ValidationError) as error:
        path = ".".join(str(part) for part in error.absolute_path)
        raise RefusedError(f"{manifest['kind']}: {path}: {error.message}") from error


@cache
def _operators(kind: str) -> jsonschema.Draft202012Validator:
    """Return the operator's own schema of a kind, which then knows no other keys."""
    # A quarter of a megabyte: the loader in C, where PyYAML has it.
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    crd = yaml.load((_CRDS / f"{kind.lower()}.yaml").read_text(), loader)  # noqa: S506 - safe
    (version,) = (one for one in crd["spec"]["versions"] if one["storage"])
    schema = copy.deepcopy(version["schema"]["openAPIV3Schema"])
    for below in _objects(schema):
        below.setdefault("additionalProperties", False)
    # These two are every object's.
    schema["properties"] |= {"apiVersion": {}, "kind": {}, "metadata": {"type": "object"}}
    return jsonschema.Draft202012Validator(schema)


def _objects(schema: Any) -> Iterator[dict[str, Any]]:
    if isinstance(schema, dict):
        if "properties" in schema and isinstance(schema["properties"], dict):
            yield schema
        for below in schema.values():
            yield from _objects(below)
    elif isinstance(schema, list):
        for below in schema:
            yield from _objects(below)
