"""What the first run of an installation does besides."""

from __future__ import annotations

from alignsvc.numerics.kept_places import is_any_kept


def compiling_note() -> tuple[str, ...]:
    """Return a sentence if loops must be compiled on this machine; none if some were before."""
    if is_any_kept():
        return ()
    return (
        "first run of this installation: its loops are compiled when they are first needed, once, "
        "which may take a minute; `alignsvc prepare` does it beforehand",
    )
