"""How much larger the errors of a fit are than its measurements' own say."""

from __future__ import annotations


def inflation(chi2: float, dof: int) -> float:
    """Return what variances are to be multiplied by: chi2 per degree of freedom, at least 1.

    1 where no degree of freedom is left to tell. Measurements that agree better than their errors
    promise do so by chance: nothing is made smaller.
    """
    return max(1.0, chi2 / dof) if dof > 0 else 1.0
