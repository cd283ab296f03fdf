"""Two lists of the sources of one sky, each with its own losses, errors and false sources."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from alignsvc.domain.geometry import Points
from alignsvc.numerics.matching.pattern_match import FieldSources
from alignsvc.numerics.matching.similarity import UNMOVED, Similarity

SIZE = 512.0
MIDDLE = complex(SIZE / 2, SIZE / 2)


@dataclass(frozen=True)
class Sky:
    """A sky seen twice.

    Parameters
    ----------
    density : float
        Sources in a field of 512 x 512 px.
    kept : float
        Share of the true sources that each list has.
    false : float
        Share of each list that is false.
    noise_px : float
        Of a position, per axis.
    """

    density: float = 60.0
    kept: float = 0.8
    false: float = 0.3
    noise_px: float = 0.3

    def seen_twice(self, seed: int, error: Similarity) -> tuple[FieldSources, FieldSources]:
        """Return the sky by a header that `error` would put right, and by a right one."""
        generator = np.random.default_rng(seed)
        n = generator.poisson(9 * self.density)
        places = SIZE * (generator.uniform(-1, 2, n) + 1j * generator.uniform(-1, 2, n))
        flux = generator.pareto(0.8, n) + 1.0
        return (
            self._seen(generator, places, flux, error.inverse()),
            self._seen(generator, places, flux, UNMOVED),
        )

    def _seen(
        self,
        generator: np.random.Generator,
        places: np.ndarray,
        flux: np.ndarray,
        header: Similarity,
    ) -> FieldSources:
        inside = (places.real > 0) & (places.real < SIZE) & (places.imag > 0)
        inside &= (places.imag < SIZE) & (generator.random(len(places)) < self.kept)
        seen, bright = places[inside], flux[inside] * generator.lognormal(0.0, 0.1, inside.sum())
        n_false = int(self.false / (1.0 - self.false) * len(seen))
        others = SIZE * (generator.random(n_false) + 1j * generator.random(n_false))
        every = np.concatenate([seen, others])
        bright = np.concatenate([bright, generator.pareto(0.8, n_false) + 1.0])
        every = every + self.noise_px * generator.normal(size=(len(every), 2)) @ [1.0, 1j]
        by_header = header.moved(every[np.argsort(-bright)])
        corners = header.moved(SIZE * np.array([0.0, 1.0, 1.0 + 1j, 1j]))
        return FieldSources(
            Points(by_header.real, by_header.imag), (Points(corners.real, corners.imag),)
        )


def turned(angle_deg: float, offset: complex, *, mirrored: bool = False) -> Similarity:
    """Return a rotation about the middle of the field, and an offset."""
    factor = complex(np.exp(1j * np.radians(angle_deg)))
    middle = MIDDLE.conjugate() if mirrored else MIDDLE
    return Similarity(factor, MIDDLE - factor * middle + offset, mirrored)
