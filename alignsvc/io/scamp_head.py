"""ID.head files: WCS and flux scale of each science HDU as text, as SWarp reads it.

SCAMP writes such files. SWarp multiplies pixels by FLXSCALE when it combines images, and their
variances by its square; it takes what a .head file says instead of what the image's header does.
"""

from __future__ import annotations

from collections.abc import Sequence

from alignsvc.domain.celestial import CelestialWcs
from alignsvc.io.header_cards import CardValue, commentary, new_card
from alignsvc.io.places import Place
from alignsvc.io.wcs_edit import Provenance
from alignsvc.io.whole_files import not_written, replaced
from alignsvc.numerics.sky.tpv import as_tpv


def head_text(
    chips: Sequence[CelestialWcs], provenance: Provenance | None, flux_scale: float | None = None
) -> str:
    """Return the text of a .head file: one header for each science HDU, each closed by END.

    Parameters
    ----------
    chips : sequence of CelestialWcs
        In the order of the science HDUs. SIP and all else that SWarp does not know becomes TPV.
    provenance : Provenance or None
    flux_scale : float or None
        What pixels are to be multiplied by, positive: FLXSCALE, which SWarp does before it
        combines. None = not known. Where it is not known, or 1, there is no such card.

    Raises
    ------
    HeaderError
        A WCS cannot be said as TPV within 1e-3 px.
    """
    lines: list[bytes] = []
    for wcs in chips:
        lines += _head_of(as_tpv(wcs), provenance)
        if flux_scale is not None and flux_scale != 1.0:
            lines.append(new_card("FLXSCALE", flux_scale, "pixels are multiplied by it"))
        lines.append(b"END")
    return b"".join(line.rstrip() + b"\n" for line in lines).decode("ascii")


def write_head(path: Place, text: str) -> None:
    """Write a .head file, as `head_text` has it, whole or not at all; folders are made.

    Raises
    ------
    HeaderError
        It cannot be written.
    """
    try:
        with replaced(path) as out:
            out.write(text.encode("ascii"))
    except OSError as error:
        raise not_written(path, error) from error


def _head_of(wcs: CelestialWcs, provenance: Provenance | None) -> list[bytes]:
    terms = wcs.terms
    name = wcs.projection
    values: list[tuple[str, CardValue]] = [("RADESYS", "ICRS"), ("EQUINOX", 2000.0)]
    for i, axis in enumerate(("RA-", "DEC")):
        values += [
            (f"CTYPE{i + 1}", f"{axis}--{name}"),
            (f"CUNIT{i + 1}", "deg"),
            (f"CRVAL{i + 1}", terms.crval[i]),
            (f"CRPIX{i + 1}", wcs.crpix[i] + 1.0),
            (f"CD{i + 1}_1", float(terms.cd[i, 0])),
            (f"CD{i + 1}_2", float(terms.cd[i, 1])),
        ]
    values += [(f"PV{axis}_{m}", value) for axis, m, value in terms.pv]
    cards = [commentary("HISTORY", " astrometric solution by alignsvc")]
    cards += [new_card(keyword, value) for keyword, value in values]
    if provenance is not None:
        cards.append(new_card("ALIGNRUN", provenance.run))
        cards.append(new_card("ALIGNRMS", provenance.rms_px, "[pix] rms of the sources used"))
    return cards
