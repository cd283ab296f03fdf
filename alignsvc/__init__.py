"""alignsvc: distributed sub-pixel alignment of overlapping astronomical exposures.

The public names are imported on first use, so that ``import alignsvc`` alone costs nothing, and
the pieces that need no engine do not wait for it.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from alignsvc.version import VERSION as __version__

if TYPE_CHECKING:
    from alignsvc.api import (
        DisplacementSettings,
        LinearFitSettings,
        RunOptions,
        SceneExposure,
        SceneSettings,
        SceneSources,
        SceneWorkers,
        SkySquare,
        Target,
        align,
        apply,
        apply_from,
        cancel,
        check,
        clean,
        correct_wcs,
        describe,
        destination,
        detail,
        evaluate,
        explain,
        find_displacement,
        find_linear_fit,
        fit_scene,
        list_runs,
        look,
        monitor,
        prepare,
        pulls,
        read_mosaic,
        rehearse,
        report,
        residuals,
        resume,
        retry,
        revert,
        simulate,
        status,
        submit,
        update_image_wcs,
        watch,
    )

__all__ = [
    "DisplacementSettings",
    "LinearFitSettings",
    "RunOptions",
    "SceneExposure",
    "SceneSettings",
    "SceneSources",
    "SceneWorkers",
    "SkySquare",
    "Target",
    "__version__",
    "align",
    "apply",
    "apply_from",
    "cancel",
    "check",
    "clean",
    "correct_wcs",
    "describe",
    "destination",
    "detail",
    "evaluate",
    "explain",
    "find_displacement",
    "find_linear_fit",
    "fit_scene",
    "list_runs",
    "look",
    "monitor",
    "prepare",
    "pulls",
    "read_mosaic",
    "rehearse",
    "report",
    "residuals",
    "resume",
    "retry",
    "revert",
    "simulate",
    "status",
    "submit",
    "update_image_wcs",
    "watch",
]

#: What is taken from `building_blocks`, without the service around it; `api` has all names.
_BLOCKS = frozenset(
    {
        "DisplacementSettings",
        "LinearFitSettings",
        "SceneExposure",
        "SceneSettings",
        "SceneSources",
        "SceneWorkers",
        "find_displacement",
        "find_linear_fit",
        "fit_scene",
    }
)


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for (PEP 562)."""
    if name in __all__:
        module = "alignsvc.building_blocks" if name in _BLOCKS else "alignsvc.api"
        return getattr(importlib.import_module(module), name)
    raise AttributeError(f"module 'alignsvc' has no attribute {name!r}")


def __dir__() -> list[str]:
    """Return the public names, those not yet imported among them."""
    return sorted(__all__)
