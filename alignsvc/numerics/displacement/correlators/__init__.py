"""The family of correlators: how the likeness of two frames is scored at whole-pixel lags.

A correlator is a frozen dataclass, called with an image stack ``(n, k, k)``, a template stack
``(n, versions, K, K)`` with K >= k of the same parity, and the largest lag. It returns float32
``(n, versions, 2 max_lag + 1, 2 max_lag + 1)``, indexed [y lag, x lag], lag = position in the
template minus position in the image. Laws (tests run them on every plug-in): identical frames
score highest at lag 0; a known shift comes back; swapping the frames negates the lag; the value
of a masked pixel changes nothing; inputs are not modified; a lag without information scores 0.
"""

from __future__ import annotations

from typing import Protocol

from alignsvc.domain.arrays import Float32Array
from alignsvc.numerics.displacement.windows.cutouts import MaskedStack
from alignsvc.numerics.displacement.windows.templates import Template
from alignsvc.registry import Registry


class Correlator(Protocol):
    """What measures likeness; see the package's docstring for the contract."""

    @property
    def frees_background(self) -> bool:
        """Whether a constant added to either frame changes nothing."""
        ...

    def __call__(self, image: MaskedStack, template: Template, max_lag: int) -> Float32Array:
        """Return the score at every lag."""
        ...


CORRELATORS: Registry[Correlator] = Registry(
    "correlator", "alignsvc.numerics.displacement.correlators"
)
