"""The pieces of the loop by themselves, for scripts and notebooks: arrays in, values out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from alignsvc.domain.arrays import BoolArray, Float32Array
from alignsvc.domain.correction import Correction
from alignsvc.domain.geometry import Points, TangentPlane
from alignsvc.domain.grid import MosaicGrid
from alignsvc.domain.measurement import Displacements
from alignsvc.domain.sources import SourceCatalog
from alignsvc.io.scene_files import read_scene_exposures
from alignsvc.numerics.displacement.correlators import CORRELATORS
from alignsvc.numerics.displacement.measure import CorrelationMeasurement
from alignsvc.numerics.displacement.pair import PairCorrelation, PairDisplacement
from alignsvc.numerics.displacement.source_pixels import SourcePixels
from alignsvc.numerics.displacement.windows.blots import Reference
from alignsvc.numerics.displacement.windows.chip_view import ChipView
from alignsvc.numerics.models.modelling.fitted_scene import FittedScene
from alignsvc.numerics.models.modelling.scene_input import SceneExposure, SceneSources
from alignsvc.numerics.models.modelling.scene_modelling import fit_exposures
from alignsvc.numerics.models.modelling.scene_settings import SceneSettings
from alignsvc.numerics.models.scene.scene_fit import SceneFitter
from alignsvc.numerics.solve.factors import FactorBuilder, GridPlaces
from alignsvc.numerics.solve.linear_fit import LinearFit, LinearFitter
from alignsvc.numerics.solve.steps import step_correction
from alignsvc.run.stages.scene_workers import SceneWorkers


@dataclass(frozen=True, slots=True)
class DisplacementSettings:
    """How two cutouts are compared.

    Parameters
    ----------
    correlation : str
        ``cc``, ``ncc`` or ``zncc``.
    max_lag : int
        Largest displacement looked for, pixels.
    """

    correlation: str = "ncc"
    max_lag: int = 4


def find_displacement(
    image: Float32Array,
    blots: Float32Array,
    image_mask: BoolArray | None = None,
    blot_mask: BoolArray | None = None,
    settings: DisplacementSettings | None = None,
) -> PairDisplacement:
    """Return what must be added to a position in `image` to reach the same source in the blots.

    Parameters
    ----------
    image : array, shape (k, k)
        A cutout without its sky.
    blots : array, shape (4, K, K)
        The reference at pixel positions plus (x, y) = (0, 0), (1/2, 0), (0, 1/2), (1/2, 1/2);
        K is k or larger by an even number, centre on centre.
    image_mask, blot_mask : bool arrays, shapes (k, k) and (K, K), or None
        True = bad: such a pixel changes nothing.
    settings : DisplacementSettings or None

    Returns
    -------
    PairDisplacement
        With the interlaced correlation map; flagged, and NaN, where there is no peak.

    Examples
    --------
    >>> import alignsvc, numpy as np
    >>> y, x = np.mgrid[-12.0:13.0, -12.0:13.0]
    >>> def star(right, up):
    ...     return np.exp(-((x - right) ** 2 + (y - up) ** 2) / 8.0).astype(np.float32)
    >>> halves = ((0.0, 0.0), (0.5, 0.0), (0.0, 0.5), (0.5, 0.5))
    >>> blots = np.stack([star(0.3 - right, -0.2 - up) for right, up in halves])
    >>> found = alignsvc.find_displacement(star(0.0, 0.0), blots)
    >>> f"{found.dx:+.2f} {found.dy:+.2f}"
    '+0.30 -0.20'
    """
    settings = settings or DisplacementSettings()
    correlate = PairCorrelation(CORRELATORS.build(settings.correlation, {}), settings.max_lag)
    return correlate(image, blots, image_mask, blot_mask)


@dataclass(frozen=True, slots=True)
class LinearFitSettings:
    """How the displacements of one chip are measured and fitted.

    Parameters
    ----------
    grid : MosaicGrid
        Of the reference and of the catalogue.
    plane : TangentPlane
        In which the correction acts.
    measurement : CorrelationMeasurement
    fitter : LinearFitter
    """

    grid: MosaicGrid
    plane: TangentPlane
    measurement: CorrelationMeasurement = field(
        default_factory=lambda: CorrelationMeasurement(CORRELATORS.build("ncc", {}))
    )
    fitter: LinearFitter = field(default_factory=LinearFitter)


@dataclass(frozen=True, slots=True, eq=False)
class FoundLinearFit:
    """A fit and what it was made from.

    Parameters
    ----------
    correction : Correction
        What puts the chip on the reference.
    fit : LinearFit
    displacements : Displacements
        Rows as in the fit.
    pixels : SourcePixels
        Cutouts, blots that are not shifted, and interlaced correlation maps.
    """

    correction: Correction
    fit: LinearFit
    displacements: Displacements
    pixels: SourcePixels


def find_linear_fit(
    chip: ChipView, reference: Reference, sources: SourceCatalog, settings: LinearFitSettings
) -> FoundLinearFit:
    """Return the correction of one chip against a reference, with its diagnostics.

    Parameters
    ----------
    chip : ChipView
        Calibrated pixels and their map to the grid.
    reference : Reference
        The mosaic of all the others, around the chip.
    sources : SourceCatalog
        On the reference.
    settings : LinearFitSettings

    Raises
    ------
    NothingToMeasure
        Too few sources, or sources that do not determine the geometry.
    """
    measured = settings.measurement(chip, reference, sources)
    where = Points(np.asarray(measured.x), np.asarray(measured.y))
    places = GridPlaces(chip.pixel_map.to_grid(where), chip.pixel_map.jacobian(where))
    fit = settings.fitter(
        FactorBuilder(settings.grid, settings.plane).to_others(0, measured, places)
    )
    correction = step_correction(settings.plane, fit.step, fit.covariance, settings.fitter.geometry)
    pixels = settings.measurement.pixels(chip, reference, sources)
    return FoundLinearFit(correction, fit, measured, pixels)


def fit_scene(
    exposures: Sequence[SceneExposure | Path | str],
    sources: SceneSources | None = None,
    settings: SceneSettings | None = None,
    workers: SceneWorkers | None = None,
) -> FittedScene:
    """Return the joint maximum-likelihood fit of sources and corrections to a few exposures.

    Parameters
    ----------
    exposures : sequence of SceneExposure, or paths of FITS files
        Arrays with their headers. Of a file all chips are read, which share its correction.
    sources : SceneSources or None
        None: what stands out on the first image that is held, as stars.
    settings : SceneSettings or None
        Models, what is free, windows, weights.
    workers : SceneWorkers or None
        Where groups of sources are fitted, in parts; the answer is the same but for rounding.
        None: in this process, in one piece.

    Returns
    -------
    FittedScene
        Its `outcome` says how it ended. Bad pixels, headers too far off and parameters that the
        data cannot fix are outcomes with a name; corrections are None then, never NaN.
        Its `warnings` say what speaks against an answer.

    Raises
    ------
    ConfigError
        No exposure, shapes that do not fit, a setting that does not exist.
    DataError
        A file that cannot be used.
    ResourceError, TransientError, RunStoreError
        From workers: they died, did not answer, or do not reach the folder.

    Notes
    -----
    Sources, one PSF for each exposure, skies and corrections are found together. Fluxes are
    eliminated, nothing is held in pixels times parameters. Without a variance the sky's noise is
    measured and that of the sources made of the model.
    """
    read = tuple(
        chip
        for exposure in exposures
        for chip in (
            (exposure,) if isinstance(exposure, SceneExposure) else read_scene_exposures(exposure)
        )
    )
    settings = settings or SceneSettings()
    if workers is None:
        return fit_exposures(read, sources, settings, SceneFitter(settings.search))
    with workers.fitter(settings.search) as fitter:
        return fit_exposures(read, sources, settings, fitter)
