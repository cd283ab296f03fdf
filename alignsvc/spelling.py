"""Names that are not known: which of those that are was meant."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

#: How alike two names are at least, from 0 to 1.
_ALIKE = 0.5


def nearest(word: str, known: Sequence[str]) -> str:
    """Return what an error says after a name that is not known.

    Parameters
    ----------
    word : str
    known : sequence of str
        All that it could have been.

    Returns
    -------
    str
        ``; did you mean 'flux'? (known: flux, snr)``; without the question if none is near.
    """
    # A name cut short (scale for scale_arcsec) is no near match by letters.
    close = [name for name in known if name.startswith(word)]
    close = close or difflib.get_close_matches(word, known, n=1, cutoff=_ALIKE)
    question = f"; did you mean {close[0]!r}?" if close else ""
    return f"{question} (known: {', '.join(known) or 'none'})"
