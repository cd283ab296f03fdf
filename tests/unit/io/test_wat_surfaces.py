"""IRAF's WATi_nnn cards: text split anywhere over cards, surfaces in quotation marks."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.io import fits

from alignsvc.domain.plane_surface import CrossTerms, SurfaceKind
from alignsvc.io.wat_surfaces import wat_attributes, wat_projection

LNGCOR = "3. 2. 2. 1. 0. 1. 0. 1. 0.5 0.25 0.125 0.0625 "
LATCOR = "1. 3. 3. 2. -1. 1. -1. 1. 1. 2. 3. 4. 5. 6. "


def header_of(first: str, second: str) -> fits.Header:
    """A header with the texts cut into cards of 68 characters, as IRAF does."""
    header = fits.Header()
    for axis, text in ((1, first), (2, second)):
        for k in range(0, len(text), 68):
            header[f"WAT{axis}_{k // 68 + 1:03d}"] = text[k : k + 68]
    return header


def tnx(first: str = LNGCOR, second: str = LATCOR) -> fits.Header:
    return header_of(
        f'wtype=tnx axtype=ra lngcor = "{first}"', f'wtype=tnx axtype=dec latcor = "{second}"'
    )


def test_attributes_are_read_with_and_without_quotation_marks() -> None:
    header = header_of('wtype=zpx axtype=ra projp1=1. lngcor = "1. 2. 3. "', "")
    assert wat_attributes(header, 1) == {
        "wtype": "zpx", "axtype": "ra", "projp1": "1.", "lngcor": "1. 2. 3. "
    }  # fmt: skip


@pytest.mark.parametrize("shift", range(24))
def test_a_number_or_a_blank_at_the_end_of_a_card_is_not_lost(shift: int) -> None:
    # FITS readers drop blanks at the end of a card: two numbers would become one.
    text = f'wtype=tnx axtype=ra {"x" * shift}=1 lngcor = "{LNGCOR}"'
    surface = wat_projection(header_of(text, "")).surface.lngcor
    assert surface is not None
    np.testing.assert_array_equal(surface.coefficients, [0.5, 0.25, 0.125, 0.0625])


def test_a_surface_has_its_kind_orders_range_and_coefficients() -> None:
    lat = wat_projection(tnx()).surface.latcor
    assert lat is not None
    assert (lat.kind, lat.cross_terms) == (SurfaceKind.CHEBYSHEV, CrossTerms.HALF)
    assert (lat.x_order, lat.y_order) == (3, 3)
    assert (lat.x_range, lat.y_range) == ((-1.0, 1.0), (-1.0, 1.0))
    # T0 = 1, T1 = x, T2 = 2 x^2 - 1; terms (i, j): 00 10 20 01 11 02.
    x, y = 0.3, -0.7
    t2x, t2y = 2 * x * x - 1, 2 * y * y - 1
    wanted = 1 + 2 * x + 3 * t2x + 4 * y + 5 * x * y + 6 * t2y
    np.testing.assert_allclose(lat(np.array(x), np.array(y)), wanted, rtol=1e-14)


def test_the_polynomial_of_zpx_is_read_from_projp() -> None:
    header = header_of("wtype=zpx axtype=ra projp3=337.74 projp1=1. projp0=0.", "longpole=170.")
    wat = wat_projection(header)
    assert wat.radial == ((0, 0.0), (1, 1.0), (3, 337.74))
    assert wat.lonpole_deg == 170.0
    assert wat.surface.lngcor is None and wat.surface.latcor is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("1. 2. 2. 1. 0. 1. 0. 1. ", "8 numbers"),
        ("3. 2. 2. 1. 0. 1. 0. 1. 0.5 0.25 ", "need 4"),
        ("9. 2. 2. 1. 0. 1. 0. 1. 0.5 0.25 0.1 0.1 ", "9"),
        ("1. 2. 2. 1. 0. 0. 0. 1. 0.5 0.25 0.1 0.1 ", "empty range"),
        ("1. 2. 2. 1. 0. one 0. 1. 0.5 0.25 0.1 0.1 ", "'one'"),
    ],
)
def test_cards_that_break_the_convention_are_refused(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        wat_projection(tnx(first=text))
