"""What a celestial WCS is made of, as plain values: from astropy's object and back to it."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from astropy.wcs import WCS, DistortionLookupTable, Sip

from alignsvc.domain.arrays import FloatArray, read_only
from alignsvc.domain.plane_surface import TpvSurface


@dataclass(frozen=True, slots=True, eq=False)
class WcsTerms:
    """What a correction may change in a WCS; all of it in the WCS's own frame.

    Parameters
    ----------
    crval : tuple of float
        Degrees, in the header's order of axes.
    cd : float64 array, shape (2, 2)
        Degrees per pixel; rows in the header's order of axes, CDELT and PC or CROTA multiplied.
    lonpole, latpole : float
        Degrees; the values in force, given or by default.
    pv : tuple of (axis, m, value)
        Parameters of the projection (ZPN...) or the TPV polynomials; axis from 1.
    """

    crval: tuple[float, float]
    cd: FloatArray
    lonpole: float
    latpole: float
    pv: tuple[tuple[int, int, float], ...] = ()

    def __post_init__(self) -> None:
        cd = np.array(self.cd, dtype=float)
        if cd.shape != (2, 2) or not np.isfinite(cd).all() or np.linalg.det(cd) == 0.0:
            raise ValueError(f"WCS: the CD matrix {cd.tolist()} is not an invertible 2 x 2 one")
        object.__setattr__(self, "cd", read_only(cd))


class LookupTable(NamedTuple):
    """One axis of a look-up table distortion (CPDIS or D2IM)."""

    data: Any
    crpix: tuple[float, float]
    crval: tuple[float, float]
    cdelt: tuple[float, float]


class WcsParts(NamedTuple):
    """All that determines a WCS, as plain values: it pickles exactly and quickly."""

    ctype: tuple[str, str]
    crpix: tuple[float, float]
    terms: WcsTerms
    radesys: str
    equinox: float
    sip: tuple[Any, Any, Any, Any, Any] | None
    tables: tuple[LookupTable | None, LookupTable | None, LookupTable | None, LookupTable | None]


def parts_of(wcs: WCS) -> WcsParts:
    """Return what determines `wcs`, without distortions of its projection plane."""
    core = wcs.wcs
    core.set()
    lng = core.lng + 1
    # PVi_3 and PVi_4 of the longitude axis are another spelling of LONPOLE and LATPOLE, whose
    # values in force are kept instead.
    pv = tuple(
        (int(i), int(m), float(v)) for i, m, v in core.get_pv() if not (i == lng and m in (3, 4))
    )
    crval = (float(core.crval[0]), float(core.crval[1]))
    terms = WcsTerms(crval, _cd_of(wcs), float(core.lonpole), float(core.latpole), pv)
    sip = wcs.sip
    return WcsParts(
        (str(core.ctype[0])[:8], str(core.ctype[1])[:8]),
        (float(core.crpix[0]), float(core.crpix[1])),
        terms,
        str(core.radesys),
        float(core.equinox),
        None if sip is None else (sip.a, sip.b, sip.ap, sip.bp, np.array(sip.crpix)),
        (_table(wcs.cpdis1), _table(wcs.cpdis2), _table(wcs.det2im1), _table(wcs.det2im2)),
    )


def _table(found: Any) -> LookupTable | None:
    if found is None:
        return None
    return LookupTable(
        np.array(found.data), tuple(found.crpix), tuple(found.crval), tuple(found.cdelt)
    )


def _cd_of(wcs: WCS) -> FloatArray:
    if wcs.wcs.has_cd():
        return np.array(wcs.wcs.cd, dtype=float)
    cdelt = np.array(wcs.wcs.get_cdelt(), dtype=np.float64)
    matrix: FloatArray = cdelt[:, None] * np.array(wcs.wcs.get_pc(), dtype=np.float64)
    return matrix


def tpv_of(wcs: WCS) -> TpvSurface | None:
    """Return the TPV polynomials that wcslib has folded into its linear part, if any.

    Raises
    ------
    ValueError
        It holds another distortion of that kind (TNX, ZPX, or the general TPD).
    """
    # wcslib turns TPV, TNX and ZPX into TAN or ZPN with a distortion that it shows only in the
    # header that it writes (14 digits: 1e-10 px).
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        header = wcs.to_header(relax=True)
    if any(f"{key}{axis}" in header for key in ("CQDIS", "CPDIS") for axis in (1, 2)) and not any(
        (wcs.cpdis1, wcs.cpdis2)
    ):
        raise ValueError(
            "WCS: a polynomial distortion of the projection plane other than TPV; "
            "give it as a PlaneSurface with a WCS read without its WATi_nnn or DQi cards"
        )
    if not str(header.get("CTYPE1", "")).endswith("TPV"):
        return None
    rows = [(axis, m, header.get(f"PV{axis}_{m}")) for axis in (1, 2) for m in range(40)]
    return TpvSurface.from_pv(tuple((i, m, float(v)) for i, m, v in rows if v is not None))


def assembled(parts: WcsParts) -> WCS:
    """Return a WCS of these parts that shares nothing with any other."""
    wcs = WCS(naxis=2)
    core, terms = wcs.wcs, parts.terms
    core.ctype = list(parts.ctype)
    core.cunit = ["deg", "deg"]
    core.crpix, core.crval = list(parts.crpix), list(terms.crval)
    core.cd = np.array(terms.cd)
    core.lonpole, core.latpole = terms.lonpole, terms.latpole
    if terms.pv:
        core.set_pv(list(terms.pv))
    core.radesys, core.equinox = parts.radesys, parts.equinox
    if parts.sip is not None:
        a, b, ap, bp, crpix = parts.sip
        wcs.sip = Sip(a, b, ap, bp, np.array(crpix))
    tables = [
        None if t is None else DistortionLookupTable(np.array(t.data), t.crpix, t.crval, t.cdelt)
        for t in parts.tables
    ]
    wcs.cpdis1, wcs.cpdis2, wcs.det2im1, wcs.det2im2 = tables
    core.set()
    return wcs
