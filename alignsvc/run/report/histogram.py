"""Histograms as drawings that need no script: they are there on paper too."""

from __future__ import annotations

import html
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from alignsvc.domain.arrays import FloatArray
from alignsvc.run.report.markup import Markup

_WIDTH, _HEIGHT = 600.0, 280.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 56.0, 588.0, 30.0, 236.0
#: Lines of the grid of the vertical axis, about.
_TICKS = 5


@dataclass(frozen=True, slots=True, eq=False)
class Bars:
    """What is counted, under one name.

    Parameters
    ----------
    name : str
    counts : array, shape (n,)
    colour : str
        Of Okabe and Ito's.
    is_filled : bool
        Else an outline, to be seen before others.
    """

    name: str
    counts: FloatArray
    colour: str
    is_filled: bool


@dataclass(frozen=True, slots=True, eq=False)
class Histogram:
    """A drawing of counts over bins.

    Parameters
    ----------
    title : str
    edges : float64, shape (n + 1,)
    bars : sequence of Bars
    x_name, y_name : str
        Of the axes, with units.
    is_log : bool
        Whether the horizontal axis is.
    curve : Bars or None
        A smooth line through the middles of the bins.
    """

    title: str
    edges: FloatArray
    bars: Sequence[Bars]
    x_name: str
    y_name: str
    is_log: bool = False
    curve: Bars | None = None

    def drawn(self, *said: str) -> Markup:
        """Return the drawing as a figure, with sentences that say the same."""
        drawn = (*self.bars, *((self.curve,) if self.curve is not None else ()))
        most = max((float(one.counts.max(initial=0.0)) for one in drawn), default=0.0) or 1.0
        x, y = self._x_scale(), _y_scale(most)
        parts = [*self._x_axis(x), *_y_axis(y, most, self.y_name)]
        parts += [self._bars(one, x, y) for one in self.bars]
        if self.curve is not None:
            parts.append(self._smooth(self.curve, x, y))
        parts += [_key(k, one) for k, one in enumerate(drawn)]
        words = "".join(f'<p class="says">{html.escape(one)}</p>' for one in said)
        label = html.escape(" ".join((self.title, *said)))
        return Markup(
            f"<figure><figcaption>{html.escape(self.title)}</figcaption>"
            f'<svg viewBox="0 0 {_WIDTH:g} {_HEIGHT:g}" role="img" aria-label="{label}">'
            f"{''.join(parts)}</svg>{words}</figure>"
        )

    def _x_scale(self) -> Callable[[float], float]:
        of = math.log10 if self.is_log else float
        low, high = of(float(self.edges[0])), of(float(self.edges[-1]))
        return lambda value: _LEFT + (of(value) - low) / (high - low) * (_RIGHT - _LEFT)

    def _x_axis(self, x: Callable[[float], float]) -> list[str]:
        low, high = float(self.edges[0]), float(self.edges[-1])
        ticks = _log_ticks(low, high) if self.is_log else _ticks(low, high, 10)
        parts = [
            f'<line x1="{x(t):.1f}" x2="{x(t):.1f}" y1="{_TOP}" y2="{_BOTTOM}" class="grid"/>'
            f'<text x="{x(t):.1f}" y="{_BOTTOM + 17}" text-anchor="middle">{t:.4g}</text>'
            for t in ticks
        ]
        middle = (_LEFT + _RIGHT) / 2
        name = html.escape(self.x_name)
        parts.append(f'<text x="{middle}" y="{_HEIGHT - 8}" text-anchor="middle">{name}</text>')
        return parts

    def _bars(self, bars: Bars, x: Callable[[float], float], y: Callable[[float], float]) -> str:
        """Return the outline of all bars: up and down at each edge."""
        at = [x(float(edge)) for edge in self.edges]
        path = f"M{at[0]:.1f} {_BOTTOM}"
        for k, count in enumerate(bars.counts.tolist()):
            path += f"V{y(count):.1f}H{at[k + 1]:.1f}"
        path += f"V{_BOTTOM}"
        fill = bars.colour if bars.is_filled else "none"
        return (
            f'<path d="{path}" fill="{fill}" fill-opacity="0.55" stroke="{bars.colour}" '
            f'stroke-width="{1 if bars.is_filled else 2}"/>'
        )

    def _smooth(self, curve: Bars, x: Callable[[float], float], y: Callable[[float], float]) -> str:
        middles = (self.edges[1:] + self.edges[:-1]) / 2
        points = " ".join(
            f"{x(at):.1f},{y(count):.1f}"
            for at, count in zip(middles.tolist(), curve.counts.tolist(), strict=True)
        )
        return (
            f'<polyline points="{points}" fill="none" stroke="{curve.colour}" stroke-width="2" '
            'stroke-dasharray="6 4"/>'
        )


def _y_scale(most: float) -> Callable[[float], float]:
    return lambda value: _BOTTOM - value / (1.05 * most) * (_BOTTOM - _TOP)


def _y_axis(y: Callable[[float], float], most: float, name: str) -> list[str]:
    parts = [
        f'<line x1="{_LEFT}" x2="{_RIGHT}" y1="{y(t):.1f}" y2="{y(t):.1f}" class="grid"/>'
        f'<text x="{_LEFT - 6}" y="{y(t) + 4:.1f}" text-anchor="end">{t:.6g}</text>'
        for t in _ticks(0.0, most, min(_TICKS, max(1, int(most))))
    ]
    middle = (_TOP + _BOTTOM) / 2
    parts.append(
        f'<text x="14" y="{middle}" text-anchor="middle" transform="rotate(-90 14 {middle})">'
        f"{html.escape(name)}</text>"
    )
    return parts


def _key(place: int, bars: Bars) -> str:
    left = _LEFT + 8 + 180 * place
    return (
        f'<rect x="{left}" y="8" width="14" height="12" fill="{bars.colour}" '
        f'fill-opacity="{0.55 if bars.is_filled else 0}" stroke="{bars.colour}" stroke-width="2"/>'
        f'<text x="{left + 20}" y="18">{html.escape(bars.name)}</text>'
    )


def _ticks(low: float, high: float, about: int) -> list[float]:
    """Return round numbers that divide a range into about so many parts."""
    rough = (high - low) / about
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(k * power for k in (1, 2, 5, 10) if k * power >= rough * (1 - 1e-9))
    first = math.ceil(low / step - 1e-9)
    return [k * step for k in range(first, math.floor(high / step + 1e-9) + 1)]


def _log_ticks(low: float, high: float) -> list[float]:
    """Return powers of ten within a range, with their doubles and fives where these are few."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    steps = (1, 2, 5) if high / low < 1000 else (1,)
    found = np.array([k * 10.0**power for power in powers for k in steps])
    return [float(one) for one in found[(found >= low) & (found <= high)]]
