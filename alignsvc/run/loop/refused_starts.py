"""Why an exposure takes no part that was compared with others before the loop."""

from __future__ import annotations

from typing import NamedTuple

from alignsvc.config.build import Bootstrap
from alignsvc.numerics.matching.joint_start import Standing
from alignsvc.numerics.matching.start import Start
from alignsvc.reasons import FailureKind, SkipReason


class RefusedStart(NamedTuple):
    """Why an exposure takes no part: a word of `reasons`, and a sentence."""

    reason: str
    message: str


def why_refused(standing: Standing, start: Start, settings: Bootstrap) -> RefusedStart | None:
    """Return why an exposure takes no part; None if it does."""
    doubt = SkipReason.DOUBTFUL_MATCH.value
    reached_px = settings.matcher.radius_px
    match standing:
        case Standing.MIRRORED:
            return RefusedStart(
                FailureKind.WRONG_PARITY.value,
                "its sources match those of the others only when mirrored; one axis of its "
                "header's WCS has the wrong sign (CD matrix or CDELT): mend it and run again",
            )
        case Standing.ALL_MIRRORED:
            return RefusedStart(
                FailureKind.WRONG_PARITY.value,
                "its sources and those of all that match it match reference.catalog only when "
                "mirrored; one axis of their headers' WCS has the wrong sign (CD matrix or "
                "CDELT): mend them and run again",
            )
        case Standing.PARITY_UNKNOWN:
            return RefusedStart(
                doubt,
                "its sources match those of others only when mirrored, and as many exposures "
                "have the one parity as the other; mend the headers that are wrong, or name "
                "a right one as reference.image",
            )
        case Standing.CONTRADICTED:
            return RefusedStart(
                doubt,
                "its matches with others contradict each other; see to its header",
            )
        case Standing.STRANGER:
            return RefusedStart(
                doubt,
                "its header puts it over others, but its sources match none of theirs within "
                f"{reached_px:.0f} px, at any rotation; mend the header, raise "
                "alignment.bootstrap_radius, or set alignment.bootstrap: false to trust it",
            )
        case Standing.UNKNOWN if settings.is_required:
            return RefusedStart(
                doubt,
                "too few of its sources are those of others to tell where it lies; lower "
                "detection.threshold, or set alignment.bootstrap: auto to trust its header",
            )
        case _ if start.missed_px > 0.5 * settings.matcher.near_px:
            return RefusedStart(
                doubt,
                f"it is turned or scaled by {start.missed_px:.1f} px at its edge, which "
                "alignment.geometry does not let it follow; set it to rshift or rscale",
            )
    return None
