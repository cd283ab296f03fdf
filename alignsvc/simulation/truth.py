"""The truth of a simulation: what was put in, as a value and as JSON."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from alignsvc.domain.celestial import CelestialWcs
from alignsvc.errors import ConfigError
from alignsvc.simulation.optics import Header, celestial_wcs
from alignsvc.simulation.profiles import GaussianMixture, gaussian_mixture, moffat_mixture
from alignsvc.simulation.sky import Sources

TRUTH_VERSION = 1


@dataclass(frozen=True, slots=True)
class ChipTruth:
    """One chip: where it is in the file, and its two headers.

    Parameters
    ----------
    hdu : int
        Index in the file.
    shape : tuple of int
        ``(ny, nx)``.
    header_true, header_given : Header
        WCS keywords: the truth, and what the file says.
    """

    hdu: int
    shape: tuple[int, int]
    header_true: Header
    header_given: Header

    @property
    def true_wcs(self) -> CelestialWcs:
        """The WCS that the pixels were made with."""
        return celestial_wcs(self.header_true, self.shape)

    @property
    def given_wcs(self) -> CelestialWcs:
        """The WCS that stands in the file."""
        return celestial_wcs(self.header_given, self.shape)


@dataclass(frozen=True, slots=True)
class Aberrations:
    """What the optics add to round stars of one width.

    Parameters
    ----------
    tail_light : float
        Part of the light that is in a tail on one side.
    tail_px : tuple of float
        (x, y) from the star to the middle of its tail.
    fwhm_slope : tuple of float
        How the FWHM grows along (x, y) of the camera, as a part of it for each pixel; 0 at the
        camera's middle.
    """

    tail_light: float = 0.0
    tail_px: tuple[float, float] = (0.0, 0.0)
    fwhm_slope: tuple[float, float] = (0.0, 0.0)


@dataclass(frozen=True, slots=True)
class ExposureTruth:
    """One exposure: all that its noise and its point-spread function are made of.

    Parameters
    ----------
    id : str
        As the pipeline names it: the file's name without suffix.
    file : str
        Relative to the directory of the truth.
    chips : tuple of ChipTruth
    fwhm_px : float
        Of the point-spread function before integration over pixels.
    beta : float or None
        Index of the Moffat profile; None = Gaussian.
    gain : float
        Electrons per adu.
    read_noise : float
        Electrons rms.
    sky, saturation : float
        adu per pixel.
    exposure_time_s, transparency : float
        A source gives flux x exposure time x transparency electrons.
    mid_time_mjd : float
    sky_slope : tuple of float
        How the sky grows along (x, y) of the camera, adu per pixel of it; 0 at its middle.
    airmass : float
    refraction_mas : tuple of float
        How far (east, north) a source of colour 1 appears off.
    time_factor : float
        What the exposure time is multiplied by in the header.
    aberrations : Aberrations
    """

    id: str
    file: str
    chips: tuple[ChipTruth, ...]
    fwhm_px: float
    beta: float | None
    gain: float
    read_noise: float
    sky: float
    saturation: float
    exposure_time_s: float
    transparency: float
    mid_time_mjd: float
    sky_slope: tuple[float, float] = (0.0, 0.0)
    airmass: float = 1.0
    refraction_mas: tuple[float, float] = (0.0, 0.0)
    time_factor: float = 1.0
    aberrations: Aberrations = Aberrations()

    @property
    def psf(self) -> GaussianMixture:
        """That in the middle of the camera; see `psf_as_wide`."""
        return self.psf_as_wide(1.0)

    def psf_as_wide(self, factor: float) -> GaussianMixture:
        """Return the point-spread function, in pixels, before integration over pixels.

        Parameters
        ----------
        factor : float
            By which it is wider than in the middle of the camera, its tail left out.
        """
        fwhm_px = factor * self.fwhm_px
        psf = gaussian_mixture(fwhm_px) if self.beta is None else moffat_mixture(fwhm_px, self.beta)
        tail = self.aberrations
        return psf.with_tail(tail.tail_light, tail.tail_px) if tail.tail_light else psf

    @property
    def electrons_per_flux(self) -> float:
        """Electrons that a source of unit flux gives."""
        return self.exposure_time_s * self.transparency

    @property
    def recorded_time_s(self) -> float:
        """What the header says of the exposure time."""
        return self.exposure_time_s * self.time_factor

    @property
    def background_variance(self) -> float:
        """Electrons squared per pixel: sky and read noise."""
        return self.sky * self.gain + self.read_noise**2


@dataclass(frozen=True, slots=True, eq=False)
class Truth:
    """A whole simulation without its pixels."""

    exposures: tuple[ExposureTruth, ...]
    sources: Sources


def to_json(truth: Truth) -> str:
    """Return the text of ``truth.json``: one exposure or source a line."""
    exposures = ",\n".join(json.dumps(_exposure_record(item)) for item in truth.exposures)
    sources = ",\n".join(json.dumps(record) for record in _source_records(truth.sources))
    return (
        f'{{"version": {TRUTH_VERSION},\n"exposures": [\n{exposures}\n],\n'
        f'"sources": [\n{sources}\n]}}\n'
    )


def from_json(text: str) -> Truth:
    """Return what `to_json` wrote.

    Raises
    ------
    ConfigError
        Not the truth of a simulation, or of another version.
    """
    try:
        record = json.loads(text)
        version = record["version"]
        if version != TRUTH_VERSION:
            raise ConfigError(
                f"truth.json: version {version}; wanted {TRUTH_VERSION}: simulate it again"
            )
        exposures = tuple(_exposure(item) for item in record["exposures"])
        return Truth(exposures, _sources(record["sources"]))
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(
            f"truth.json: not the truth of a simulation ({error!r}); simulate it again"
        ) from error


_EXPOSURE_NUMBERS = (
    "fwhm_px",
    "beta",
    "gain",
    "read_noise",
    "sky",
    "saturation",
    "exposure_time_s",
    "transparency",
    "mid_time_mjd",
)
#: That a truth which was written before there were any does not have: 1 then.
_LATER_NUMBERS = ("time_factor", "airmass")


def _exposure_record(exposure: ExposureTruth) -> dict[str, Any]:
    chips = [
        {
            "hdu": chip.hdu,
            "shape": list(chip.shape),
            "header_true": dict(chip.header_true),
            "header_given": dict(chip.header_given),
        }
        for chip in exposure.chips
    ]
    numbers = {name: getattr(exposure, name) for name in (*_EXPOSURE_NUMBERS, *_LATER_NUMBERS)}
    air = {name: list(getattr(exposure, name)) for name in ("sky_slope", "refraction_mas")}
    optics = {"aberrations": asdict(exposure.aberrations)}
    return {"id": exposure.id, "file": exposure.file, "chips": chips, **numbers, **air, **optics}


def _exposure(record: dict[str, Any]) -> ExposureTruth:
    chips = tuple(
        ChipTruth(
            hdu=chip["hdu"],
            shape=(chip["shape"][0], chip["shape"][1]),
            header_true=tuple(chip["header_true"].items()),
            header_given=tuple(chip["header_given"].items()),
        )
        for chip in record["chips"]
    )
    numbers = {name: record[name] for name in _EXPOSURE_NUMBERS}
    return ExposureTruth(
        id=record["id"],
        file=record["file"],
        chips=chips,
        **numbers,
        sky_slope=_pair(record, "sky_slope"),
        refraction_mas=_pair(record, "refraction_mas"),
        **{name: record.get(name, 1.0) for name in _LATER_NUMBERS},
        aberrations=_aberrations(record.get("aberrations", {})),
    )


def _aberrations(record: dict[str, Any]) -> Aberrations:
    light = float(record.get("tail_light", 0.0))
    return Aberrations(light, _pair(record, "tail_px"), _pair(record, "fwhm_slope"))


def _pair(record: dict[str, Any], name: str) -> tuple[float, float]:
    """Return two numbers; zeros in a truth that was written before there were any."""
    first, second = record.get(name, (0.0, 0.0))
    return float(first), float(second)


def _source_records(sources: Sources) -> list[dict[str, Any]]:
    shapes = zip(
        sources.half_light_arcsec.tolist(),
        sources.axis_ratio.tolist(),
        sources.position_angle_deg.tolist(),
        sources.sersic.tolist(),
        strict=True,
    )
    return [
        {
            "ra": ra,
            "dec": dec,
            "type": "galaxy" if is_galaxy else "star",
            "flux": flux,
            "shape": dict(zip(_SHAPE, shape, strict=True)) if is_galaxy else None,
            "pm": [pm_ra, pm_dec],
            "colour": colour,
        }
        for ra, dec, is_galaxy, flux, shape, pm_ra, pm_dec, colour in zip(
            sources.ra.tolist(),
            sources.dec.tolist(),
            sources.is_galaxy.tolist(),
            sources.flux.tolist(),
            shapes,
            sources.pm_ra.tolist(),
            sources.pm_dec.tolist(),
            sources.colour.tolist(),
            strict=True,
        )
    ]


_SHAPE = ("half_light_arcsec", "axis_ratio", "position_angle_deg", "sersic")
_POINT = {"half_light_arcsec": 0.0, "axis_ratio": 1.0, "position_angle_deg": 0.0, "sersic": 0.0}


def _sources(records: list[dict[str, Any]]) -> Sources:
    shapes = [record["shape"] or _POINT for record in records]
    return Sources(
        ra=np.array([record["ra"] for record in records], float),
        dec=np.array([record["dec"] for record in records], float),
        flux=np.array([record["flux"] for record in records], float),
        is_galaxy=np.array([record["type"] == "galaxy" for record in records], bool),
        half_light_arcsec=np.array([shape["half_light_arcsec"] for shape in shapes], float),
        axis_ratio=np.array([shape["axis_ratio"] for shape in shapes], float),
        position_angle_deg=np.array([shape["position_angle_deg"] for shape in shapes], float),
        sersic=np.array([shape["sersic"] for shape in shapes], float),
        pm_ra=np.array([record["pm"][0] for record in records], float),
        pm_dec=np.array([record["pm"][1] for record in records], float),
        colour=np.array([record.get("colour", 0.0) for record in records], float),
    )
