"""Whether the mosaic became sharper: what the run's catalogues say of its corrections."""

from __future__ import annotations

from alignsvc.io.places import Place
from alignsvc.numerics.sources.sharpness import Sharpening, sharpening
from alignsvc.run.records.state import RunState
from alignsvc.run.stages.cataloguing import SourceTables
from alignsvc.tasks.detect import read_sources


def mosaic_sharpening(run: Place, known: RunState) -> Sharpening | None:
    """Compare the mosaic by the input headers with that of the last pass that detected sources.

    Returns
    -------
    Sharpening or None
        None where sources were detected but once.
    """
    detected = [
        one.sources for one in known.solved_passes if one.is_full and one.sources is not None
    ]
    if len(detected) < 2:
        return None
    first, last = (
        read_sources(run, SourceTables.from_event(event).found)
        for event in (detected[0], detected[-1])
    )
    return sharpening(first, last)


def sharpness_notes(found: Sharpening | None) -> tuple[str, ...]:
    """Return what the user should know of it."""
    if found is None or not found.is_loss:
        return ()
    return (
        f"the mosaic's sources are {-100.0 * found.gain:.1f} % less sharp after the corrections "
        f"than before ({found.n_sources} compared, +- {100.0 * found.error:.1f} %): look at the "
        "mosaic, and at the exposures with the largest corrections, before you trust them",
    )
