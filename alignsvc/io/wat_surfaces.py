"""The WATi_nnn cards of IRAF: attributes of an axis, among them the surfaces of TNX and ZPX."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
from astropy.io import fits

from alignsvc.domain.plane_surface import (
    CrossTerms,
    PlaneSurface,
    SurfaceKind,
    SurfacePolynomial,
)

#: Characters of text in one card: a longer attribute runs on in the next.
_CARD_TEXT = 68
_ATTRIBUTE = re.compile(r'(\w+)\s*=\s*(?:"([^"]*)"|(\S+))')
_N_HEAD = 8


@dataclass(frozen=True, slots=True, eq=False)
class WatProjection:
    """What the WAT cards of a TNX or ZPX header say.

    Parameters
    ----------
    surface : PlaneSurface
        Degrees to be added to the plane coordinates (longitude, latitude).
    radial : tuple of (power, coefficient)
        The polynomial of ZPX, the same as PVi_m of ZPN; empty for TNX.
    lonpole_deg : float or None
        None if the cards do not say.
    """

    surface: PlaneSurface
    radial: tuple[tuple[int, float], ...] = ()
    lonpole_deg: float | None = None


def wat_projection(header: fits.Header) -> WatProjection:
    """Return the distortion that the WAT cards of axes 1 and 2 hold.

    Raises
    ------
    ValueError
        Cards that do not follow the convention.

    Notes
    -----
    The TNX and ZPX conventions of the FITS registry (Valdes 2008): surfaces stand under `lngcor`
    and `latcor`, in quotation marks.
    """
    attributes: dict[str, str] = {}
    for axis in (1, 2):
        attributes |= wat_attributes(header, axis)
    radial = tuple(
        sorted(
            (int(name[len("projp") :]), _number(name, text))
            for name, text in attributes.items()
            if re.fullmatch(r"projp\d+", name)
        )
    )
    lonpole = attributes.get("longpole")
    return WatProjection(
        PlaneSurface(
            _surface("lngcor", attributes.get("lngcor")),
            _surface("latcor", attributes.get("latcor")),
        ),
        radial,
        None if lonpole is None else _number("longpole", lonpole),
    )


def wat_attributes(header: fits.Header, axis: int) -> dict[str, str]:
    """Return the attributes of one axis, by name."""
    keys = sorted(key for key in header if re.fullmatch(rf"WAT{axis}_\d+", key))
    # A card's text ends where the next begins, mid-number if need be. Blanks at its end count,
    # but the header's reader drops them: they are put back.
    text = "".join(str(header[key]).ljust(_CARD_TEXT) for key in keys)
    return {name: quoted or plain for name, quoted, plain in _ATTRIBUTE.findall(text)}


def _surface(name: str, text: str | None) -> SurfacePolynomial | None:
    if text is None:
        return None
    numbers = [_number(name, word) for word in text.split()]
    if len(numbers) <= _N_HEAD:
        raise ValueError(f"{name} holds {len(numbers)} numbers; more than {_N_HEAD} are needed")
    kind, x_order, y_order, cross = (int(value) for value in numbers[:4])
    x_low, x_high, y_low, y_high = numbers[4:_N_HEAD]
    if kind != SurfaceKind.POLYNOMIAL and (x_low == x_high or y_low == y_high):
        raise ValueError(f"{name} is defined over an empty range of plane coordinates")
    return SurfacePolynomial(
        SurfaceKind(kind),
        x_order,
        y_order,
        CrossTerms(cross),
        (x_low, x_high),
        (y_low, y_high),
        np.array(numbers[_N_HEAD:]),
    )


def _number(name: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"{name} holds {text!r} where a number is wanted") from None
