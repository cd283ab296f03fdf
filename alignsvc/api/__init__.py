"""What Python users and the command line call: a verb is a function, what it returns a type."""

from __future__ import annotations

from alignsvc.api.headers import apply, apply_from, destination, revert
from alignsvc.api.looking import (
    detail,
    explain,
    list_runs,
    look,
    monitor,
    pulls,
    read_mosaic,
    report,
    residuals,
    status,
    watch,
)
from alignsvc.api.preparing import Preparation, prepare
from alignsvc.api.runs import align, cancel, check, clean, rehearse, resume, retry, submit
from alignsvc.api.simulating import evaluate, simulate
from alignsvc.building_blocks import (
    DisplacementSettings,
    LinearFitSettings,
    find_displacement,
    find_linear_fit,
    fit_scene,
)
from alignsvc.io.header_files import update_image_wcs
from alignsvc.numerics.models.modelling.scene_input import SceneExposure, SceneSources
from alignsvc.numerics.models.modelling.scene_settings import SceneSettings
from alignsvc.numerics.sky.corrected import corrected as correct_wcs
from alignsvc.numerics.solve.linear_fit import LinearFit, LinearFitter
from alignsvc.run.driving.service import RunOptions
from alignsvc.run.planning.plan import Plan
from alignsvc.run.records.result import RunResult
from alignsvc.run.report.pulls import Pulls
from alignsvc.run.seeing.exposure_detail import ExposureDetail, SourceResiduals
from alignsvc.run.seeing.mosaic_image import MosaicImage, SkySquare
from alignsvc.run.seeing.picture import RunPicture
from alignsvc.run.stages.scene_workers import SceneWorkers
from alignsvc.run.status.explaining import Explanation
from alignsvc.run.status.listing import ListedRun
from alignsvc.run.status.run_status import RunStatus
from alignsvc.run.status.watching import Seen
from alignsvc.run.verbs.applying import Target
from alignsvc.run.verbs.cancelling import Cancellation
from alignsvc.run.verbs.cleaning import Cleaning
from alignsvc.run.verbs.describing import describe
from alignsvc.run.verbs.submitting import Rehearsal, Submission

__all__ = [
    "Cancellation",
    "Cleaning",
    "DisplacementSettings",
    "Explanation",
    "ExposureDetail",
    "LinearFit",
    "LinearFitSettings",
    "LinearFitter",
    "ListedRun",
    "MosaicImage",
    "Plan",
    "Preparation",
    "Pulls",
    "Rehearsal",
    "RunOptions",
    "RunPicture",
    "RunResult",
    "RunStatus",
    "SceneExposure",
    "SceneSettings",
    "SceneSources",
    "SceneWorkers",
    "Seen",
    "SkySquare",
    "SourceResiduals",
    "Submission",
    "Target",
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
