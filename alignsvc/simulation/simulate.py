"""Exposures with known truth from settings."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np

from alignsvc.domain.arrays import Float32Array, FloatArray
from alignsvc.errors import ConfigError
from alignsvc.io.simulated_files import (
    ImagePlane,
    require_ours,
    write_extensions,
    write_single_image,
    write_truth,
)
from alignsvc.simulation.detector import (
    DQ_BAD_PIXEL,
    ChipImage,
    bad_pixels,
    cosmic_rays,
    expose,
)
from alignsvc.simulation.distortions import Card
from alignsvc.simulation.header_errors import draw_error, misaligned, with_chip, with_gross
from alignsvc.simulation.layouts import Pointing
from alignsvc.simulation.optics import celestial_wcs, extent_of, true_headers
from alignsvc.simulation.scene import expected_electrons, seen_by
from alignsvc.simulation.settings import Range, SkySettings
from alignsvc.simulation.sky import (
    AIR_STREAM,
    CAMERA_STREAM,
    EXPOSURE_STREAM,
    OPTICS_STREAM,
    draw_sources,
)
from alignsvc.simulation.truth import Aberrations, ChipTruth, ExposureTruth, Truth, to_json
from alignsvc.wording import counted

#: What every simulated exposure says it is of.
OBJECT = "simulated sky"
_FIRST_MJD = 60000.0
_ZERO_POINT = 25.0  #: magnitude that gives one electron per second


def simulate_to(directory: Path, settings: SkySettings) -> Truth:
    """Write the exposures and ``truth.json`` into `directory`; return the truth.

    One exposure at a time is in memory. The truth is written last: where it stands, all files
    do.

    Raises
    ------
    ConfigError
        A file of that name is there, and no simulated exposure; nothing is written.
    """
    truth = draw_truth(settings)
    require_ours([directory / exposure.file for exposure in truth.exposures], OBJECT)
    for index, exposure in enumerate(truth.exposures):
        images = expose_chips(settings, truth, index)
        _write_exposure(directory / exposure.file, settings, exposure, images)
    write_truth(directory, to_json(truth))
    return truth


def draw_truth(settings: SkySettings) -> Truth:
    """Return everything but the pixels. Exposure k depends on the seed and on k alone."""
    camera = settings.camera
    turns = np.random.default_rng((CAMERA_STREAM, settings.seed, 0))
    rotations_deg = turns.normal(0.0, 1.0, camera.chips[0] * camera.chips[1])
    rotations_deg = rotations_deg * camera.chip_rotation_deg
    shifts_px = turns.normal(0.0, 1.0, (len(rotations_deg), 2))
    lacking_px = _lacking_px(settings, settings.header_errors.chip_shift_px * shifts_px)
    exposures = tuple(
        _exposure(settings, index, rotations_deg, lacking_px[index])
        for index in range(settings.layout.n_exposures)
    )
    caps = tuple(seen_by(e, chip.true_wcs) for e in exposures for chip in e.chips)
    return Truth(exposures, draw_sources(settings.seed, settings.stars, settings.galaxies, caps))


def expose_chips(settings: SkySettings, truth: Truth, index: int) -> tuple[ChipImage, ...]:
    """Return the noisy images of all chips of one exposure."""
    exposure = truth.exposures[index]
    images = []
    for number, chip in enumerate(exposure.chips):
        seed = (EXPOSURE_STREAM, settings.seed, index, 1 + number)
        generator = np.random.default_rng(seed)
        camera = np.random.default_rng((CAMERA_STREAM, settings.seed, 1 + number))
        expected = expected_electrons(truth.sources, exposure, chip)
        expected = expected + cosmic_rays(chip.shape, settings.cosmic_rays, generator)
        bad = bad_pixels(chip.shape, settings.detector.bad_pixels, camera)
        images.append(expose(expected, settings.detector, bad, generator))
    return tuple(images)


def _lacking_px(settings: SkySettings, common: FloatArray) -> FloatArray:
    """Return the shift that each chip's header lacks, shape ``(exposures, chips, 2)``."""
    lacking = np.tile(common, (settings.layout.n_exposures, 1, 1))
    for one in settings.header_errors.chips:
        which = slice(None) if one.exposure is None else one.exposure
        try:
            lacking[which, one.chip] += np.array(one.shift_px)
        except IndexError as error:
            n_exposures, n_chips, _ = lacking.shape
            raise ConfigError(
                f"simulation: header_errors.chips names chip {one.chip} of exposure "
                f"{one.exposure}; found {counted(n_chips, 'chip')} in "
                f"{counted(n_exposures, 'exposure')}, from 0"
            ) from error
    return lacking


def _exposure(
    settings: SkySettings, index: int, rotations_deg: FloatArray, lacking_px: FloatArray
) -> ExposureTruth:
    camera, detector, conditions = settings.camera, settings.detector, settings.conditions
    generator = np.random.default_rng((EXPOSURE_STREAM, settings.seed, index, 0))
    drawn = generator.random(4)
    error = draw_error(settings.header_errors, camera.scale_arcsec, generator)
    gross = [one for one in settings.header_errors.gross if one.exposure == index]
    error = with_gross(error, gross, camera.scale_arcsec)
    pointing: Pointing = settings.layout(index, extent_of(camera), generator)
    chips = []
    per_chip = 1 + len(settings.planes)
    for number, header in enumerate(true_headers(camera, pointing, rotations_deg)):
        wcs = celestial_wcs(header, camera.shape)
        hdu = 0 if _is_single(settings) else 1 + number * per_chip
        own = with_chip(error, wcs, lacking_px[number])
        chips.append(ChipTruth(hdu, camera.shape, header, misaligned(header, wcs, own)))
    exposure_time_s = _within(conditions.exposure_time_s, drawn[0])
    sky = _within(conditions.sky, drawn[2]) * exposure_time_s / detector.gain
    air = np.random.default_rng((AIR_STREAM, settings.seed, index))
    shortest, longest = (math.log(factor) for factor in settings.header_errors.exposure_time)
    return ExposureTruth(
        id=f"exp{index:03d}",
        file=f"exp{index:03d}.fits",
        chips=tuple(chips),
        fwhm_px=_within(conditions.fwhm_arcsec, drawn[1]) / camera.scale_arcsec,
        beta=conditions.beta,
        gain=detector.gain,
        read_noise=detector.read_noise,
        sky=sky,
        saturation=detector.saturation,
        exposure_time_s=exposure_time_s,
        transparency=_within(conditions.transparency, drawn[3]),
        mid_time_mjd=_FIRST_MJD + index * conditions.interval_days,
        time_factor=math.exp(air.uniform(shortest, longest)),
        sky_slope=_sky_slope(settings, sky, air),
        airmass=(airmass := air.uniform(*conditions.airmass)),
        refraction_mas=_refraction(conditions.refraction_mas, airmass, air),
        aberrations=_aberrations(settings, index),
    )


def _aberrations(settings: SkySettings, index: int) -> Aberrations:
    given, camera = settings.aberrations, settings.camera
    generator = np.random.default_rng((OPTICS_STREAM, settings.seed, index))
    # Where it does not turn, it points where no symmetry of the pixels hides anything.
    direction = generator.uniform(0.0, 2.0 * math.pi) if given.turns else 0.4
    light = generator.uniform(*given.tail)
    away = given.tail_arcsec / camera.scale_arcsec
    step = generator.uniform(*given.seeing_gradient) / max(camera.extent_px)
    up = generator.uniform(0.0, 2.0 * math.pi)
    return Aberrations(
        light,
        (away * math.cos(direction), away * math.sin(direction)),
        (step * math.cos(up), step * math.sin(up)),
    )


def _sky_slope(
    settings: SkySettings, sky: float, generator: np.random.Generator
) -> tuple[float, float]:
    """Return the slope of the sky along x and y, from one edge of the camera to the other."""
    step = generator.uniform(*settings.conditions.sky_gradient) * sky
    direction = generator.uniform(0.0, 2.0 * math.pi)
    per_px = step / max(settings.camera.extent_px)
    return per_px * math.cos(direction), per_px * math.sin(direction)


def _refraction(
    unit_mas: float, airmass: float, generator: np.random.Generator
) -> tuple[float, float]:
    """Return how far (east, north) a source of colour 1 appears off: away from the zenith."""
    away_mas = unit_mas * math.sqrt(airmass**2 - 1.0)  # secant and tangent of one angle
    zenith = generator.uniform(0.0, 2.0 * math.pi)
    return -away_mas * math.sin(zenith), -away_mas * math.cos(zenith)


def _within(limits: Range, fraction: float) -> float:
    return limits[0] + float(fraction) * (limits[1] - limits[0])


def _is_single(settings: SkySettings) -> bool:
    return settings.camera.chips == (1, 1) and not settings.planes


def _write_exposure(
    path: Path, settings: SkySettings, exposure: ExposureTruth, images: tuple[ChipImage, ...]
) -> None:
    of_exposure, of_chip = _exposure_cards(exposure), _chip_cards(exposure)
    if _is_single(settings):
        cards = (*of_exposure, *of_chip, *exposure.chips[0].header_given)
        write_single_image(path, cards, _pixels(settings, images[0]))
        return
    planes = []
    for number, (chip, image) in enumerate(zip(exposure.chips, images, strict=True), start=1):
        wcs = chip.header_given
        planes.append(ImagePlane("SCI", number, _pixels(settings, image), (*of_chip, *wcs)))
        for name in settings.planes:
            values = image.error if name == "err" else image.quality.astype(np.uint8)
            planes.append(ImagePlane(name.upper(), number, values, wcs))
    write_extensions(path, of_exposure, planes)


def _pixels(settings: SkySettings, image: ChipImage) -> Float32Array:
    """Return the pixels; bad ones are NaN where no quality plane can name them."""
    if "dq" in settings.planes:
        return image.pixels
    pixels = image.pixels.copy()
    pixels[image.quality & DQ_BAD_PIXEL != 0] = np.nan
    return pixels


def _exposure_cards(exposure: ExposureTruth) -> tuple[Card, ...]:
    start_mjd = exposure.mid_time_mjd - 0.5 * exposure.exposure_time_s / 86400.0
    start = datetime(1858, 11, 17, tzinfo=UTC) + timedelta(days=start_mjd)
    zero_point = _ZERO_POINT + 2.5 * math.log10(exposure.electrons_per_flux / exposure.gain)
    return (
        ("OBJECT", OBJECT),
        ("FILTER", "r"),
        ("EXPTIME", exposure.recorded_time_s),
        ("DATE-OBS", start.strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3]),
        ("MJD-OBS", start_mjd),
        ("MAGZPT", zero_point),
        ("AIRMASS", exposure.airmass),
    )


def _chip_cards(exposure: ExposureTruth) -> tuple[Card, ...]:
    return (
        ("BUNIT", "adu"),
        ("GAIN", exposure.gain),
        ("RDNOISE", exposure.read_noise),
        ("SATURATE", exposure.saturation),
    )
