"""alignsvc: distributed sub-pixel alignment of overlapping astronomical exposures.

The public names live in `alignsvc.api` and are imported on first use, so that ``import alignsvc``
alone costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from alignsvc.version import VERSION as __version__

if TYPE_CHECKING:
    from alignsvc.api import (
        align,
        apply,
        check,
        correct_wcs,
        evaluate,
        find_displacement,
        find_linear_fit,
        report,
        resume,
        revert,
        simulate,
        status,
        update_image_wcs,
    )

__all__ = [
    "__version__",
    "align",
    "apply",
    "check",
    "correct_wcs",
    "evaluate",
    "find_displacement",
    "find_linear_fit",
    "report",
    "resume",
    "revert",
    "simulate",
    "status",
    "update_image_wcs",
]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for (PEP 562)."""
    if name in __all__:
        return getattr(importlib.import_module("alignsvc.api"), name)
    raise AttributeError(f"module 'alignsvc' has no attribute {name!r}")
