"""Closed lists: why an exposure is skipped, why it fails, and the sentence for each."""

from __future__ import annotations

from enum import StrEnum


class SkipReason(StrEnum):
    """Why a sound exposure is not aligned."""

    SINGLE_EXPOSURE = "single_exposure"
    NO_OVERLAP = "no_overlap"
    OUTSIDE_GRID = "outside_grid"
    DUPLICATE = "duplicate"
    TOO_FEW_SOURCES = "too_few_sources"
    DEGENERATE_FIT = "degenerate_fit"
    WORSE = "worse"
    DOUBTFUL_MATCH = "doubtful_match"


class FailureKind(StrEnum):
    """Why an exposure cannot be used."""

    MISSING = "missing"
    EMPTY = "empty"
    UNREADABLE = "unreadable"
    NO_IMAGE = "no_image"
    WRONG_DIMENSION = "wrong_dimension"
    NO_WCS = "no_wcs"
    BAD_WCS = "bad_wcs"
    WRONG_PARITY = "wrong_parity"
    ALL_MASKED = "all_masked"
    NO_SIDECAR = "no_sidecar"
    BAD_WEIGHT = "bad_weight"
    CHANGED = "changed"
    UNWRITABLE_WCS = "unwritable_wcs"
    TIMEOUT = "timeout"
    WORKER_LOST = "worker_lost"
    MEMORY = "memory"
    INTERNAL = "internal"


REASON_TEXT: dict[SkipReason | FailureKind, str] = {
    SkipReason.SINGLE_EXPOSURE: "there is no other exposure to align it to",
    SkipReason.NO_OVERLAP: "it overlaps no other exposure",
    SkipReason.OUTSIDE_GRID: "no pixel of it falls on the mosaic's grid",
    SkipReason.DUPLICATE: "its file is byte for byte that of another exposure",
    SkipReason.TOO_FEW_SOURCES: "fewer usable sources than its geometry needs",
    SkipReason.DEGENERATE_FIT: "its sources do not determine its geometry",
    SkipReason.WORSE: "its correction made held-out sources worse and was put back",
    SkipReason.DOUBTFUL_MATCH: "its sources do not tell where it lies beside the others",
    FailureKind.MISSING: "the file does not exist",
    FailureKind.EMPTY: "the file is empty",
    FailureKind.UNREADABLE: "the file is not readable as FITS",
    FailureKind.NO_IMAGE: "the file holds no image",
    FailureKind.WRONG_DIMENSION: "the image does not have two dimensions",
    FailureKind.NO_WCS: "the header has no celestial WCS",
    FailureKind.BAD_WCS: "the header's WCS does not map its pixels to the sky",
    FailureKind.WRONG_PARITY: "the header's WCS mirrors the sky: the others have the other parity",
    FailureKind.ALL_MASKED: "no pixel is usable",
    FailureKind.NO_SIDECAR: "the weight or mask that the configuration names is absent",
    FailureKind.BAD_WEIGHT: "the weight map does not fit the image, or the image is constant",
    FailureKind.CHANGED: "the file changed after the run was planned",
    FailureKind.UNWRITABLE_WCS: "its correction cannot be written in its header's projection",
    FailureKind.TIMEOUT: "its task did not end in time",
    FailureKind.WORKER_LOST: "the workers that ran its task died",
    FailureKind.MEMORY: "its task needs more memory than there is",
    FailureKind.INTERNAL: "an unexpected error; see the message",
}

#: What the user does about each.
NEXT_STEP: dict[SkipReason | FailureKind, str] = {
    SkipReason.SINGLE_EXPOSURE: "name more exposures in images.paths",
    SkipReason.NO_OVERLAP: "add exposures that overlap it, or check where its header puts it",
    SkipReason.OUTSIDE_GRID: "check mosaic.grid, and where its header puts it",
    SkipReason.DUPLICATE: "nothing: the other file stands for both",
    SkipReason.TOO_FEW_SOURCES: (
        "lower detection.threshold, or give it less freedom with alignment.geometry: shift"
    ),
    SkipReason.DEGENERATE_FIT: "give it less freedom with alignment.geometry: rshift or shift",
    SkipReason.WORSE: "look at it beside the mosaic: its header was the better one",
    SkipReason.DOUBTFUL_MATCH: (
        "check where its header puts it, or raise alignment.bootstrap_radius if that is far off"
    ),
    FailureKind.MISSING: "bring the file back, then `alignsvc retry RUN --failed`",
    FailureKind.EMPTY: "get the file again, then `alignsvc retry RUN --failed`",
    FailureKind.UNREADABLE: "get the file again, then `alignsvc retry RUN --failed`",
    FailureKind.NO_IMAGE: "say where its image is with images.science, or leave the file out",
    FailureKind.WRONG_DIMENSION: "choose a plane with images.science, or leave the file out",
    FailureKind.NO_WCS: "give it a celestial WCS, then `alignsvc retry RUN --failed`",
    FailureKind.BAD_WCS: "mend its WCS, then `alignsvc retry RUN --failed`",
    FailureKind.WRONG_PARITY: "mend the sign of its CD matrix, then `alignsvc retry RUN --failed`",
    FailureKind.ALL_MASKED: "check its mask and images.mask_bits",
    FailureKind.NO_SIDECAR: "bring its sidecar file, then `alignsvc retry RUN --failed`",
    FailureKind.BAD_WEIGHT: "mend its weight map or pixels, then `alignsvc retry RUN --failed`",
    FailureKind.CHANGED: "see that nobody writes it any more, then `alignsvc retry RUN --failed`",
    FailureKind.UNWRITABLE_WCS: "take its correction from corrections.ecsv, or output.wcs: head",
    FailureKind.TIMEOUT: "see what kept its worker, then `alignsvc retry RUN --failed`",
    FailureKind.WORKER_LOST: "give each worker more memory, then `alignsvc retry RUN --failed`",
    FailureKind.MEMORY: (
        "give each worker more memory with cluster.memory_limit or fewer workers, then "
        "`alignsvc retry RUN --failed`"
    ),
    FailureKind.INTERNAL: "report it with the message; `alignsvc retry RUN --failed` tries again",
}
