"""The detail of an exposure as JSON: numbers as columns, pixels as grids of bytes in base64.

``mosaic`` is where the correction puts it, as in the difference ``after``.

A grid is ``{"side": n, "low": v, "high": v, "bytes": base64}``, row after row from the first pixel:
255 is *not known*, 0 to 254 are steps of a stretch from `low` to `high`:

``asinh``
    of exposure, mosaic and model: ``asinh(10 t) / asinh(10)`` of the part t of the way from low to
    high, the same low and high for the three: from 2 robust deviations below the median to the
    brightest pixel, of the exposure's known pixels and the mosaic there.
``linear``
    of differences, symmetric about 0 and the same for all of a source: to the largest of them; and
    of the correlation map, from its lowest to its highest value.
"""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
from numpy.typing import NDArray

from alignsvc.domain.arrays import Float32Array, FloatArray
from alignsvc.numerics.displacement.windows.cutouts import middles
from alignsvc.run.seeing.exposure_detail import ExposureDetail, SourceCutout, SourceResiduals
from alignsvc.run.seeing.picture_json import Json, short

#: Pixels along a side that are shown: the middle ones of larger cutouts.
_MOST_SIDE = 64
#: Softening of the stretch of brightness: its part of the range that is nearly linear is a tenth.
_SOFTENING = 10.0
_LEVELS, _UNKNOWN = 254, 255


def detail_json(detail: ExposureDetail, most_cutouts: int | None = None) -> Json:
    """Return the detail of an exposure as JSON values.

    Parameters
    ----------
    detail : ExposureDetail
    most_cutouts : int or None
        So many sources are shown with pixels, the worst; None: all that there are.
    """
    shapes = [] if detail.chip_shape is None else detail.chip_shape.tolist()
    return {
        "id": detail.id,
        "pass": detail.pass_number,
        "solved": detail.is_solved,
        "n_used": detail.n_used,
        "missing": list(detail.missing),
        "chips": [{"width": nx, "height": ny} for ny, nx in shapes],
        "sources": None if detail.residuals is None else _sources(detail.residuals),
        "cutouts": [
            _cutout(one, detail.residuals)
            for one in detail.cutouts[:most_cutouts]
            if detail.residuals is not None
        ],
    }


def _sources(found: SourceResiduals) -> Json:
    residual, error = found.residual_px, found.error_px
    return {
        "id": found.source.tolist(),
        "chip": found.chip.tolist(),
        "x": _column(found.x),
        "y": _column(found.y),
        "dx": _column(found.measured_px[:, 0]),
        "dy": _column(found.measured_px[:, 1]),
        "fit_x": _column(found.fitted_px[:, 0]),
        "fit_y": _column(found.fitted_px[:, 1]),
        "shared_x": _column(found.shared_px[:, 0]),
        "shared_y": _column(found.shared_px[:, 1]),
        "left_x": _column(residual[:, 0]),
        "left_y": _column(residual[:, 1]),
        "error_x": _column(error[:, 0]),
        "error_y": _column(error[:, 1]),
        "sigma": _column(found.sigma),
        "snr": _column(found.snr),
        "fate": found.fate,
        "why": ["; ".join(found.reasons(row)) for row in range(len(found.flags))],
    }


def _cutout(one: SourceCutout, residuals: SourceResiduals) -> Json:
    exposure, before, after = (_shown(plane) for plane in (one.exposure, one.before, one.after))
    model = None if one.model is None else _shown(one.model)
    low, high = _brightness(exposure, after[np.isfinite(exposure)])
    differences = [exposure - before, exposure - after]
    if model is not None:
        differences.append(exposure - model)
    most = _largest(differences)
    bright = [None if one is None else _asinh(one, low, high) for one in (exposure, after, model)]
    signed = [_linear(one, -most, most) if _any(one) else None for one in differences]
    cut = (one.exposure.shape[-1] - exposure.shape[-1]) // 2
    row = one.row
    peak = residuals.measured_px[row]
    known = one.correlation[np.isfinite(one.correlation)]
    return {
        "row": row,
        "corner": [one.corner[0] + cut, one.corner[1] + cut],
        "header_px": [short(value) for value in one.header_px],
        "exposure": bright[0],
        "mosaic": bright[1],
        "before": signed[0],
        "after": signed[1],
        "map": _linear(one.correlation, known.min(), known.max()) if known.size else None,
        "peak": [short(float(value)) for value in peak],
        "model": bright[2],
        "residual": signed[2] if model is not None else None,
    }


def _shown(plane: Float32Array) -> Float32Array:
    side = plane.shape[-1]
    return plane if side <= _MOST_SIDE else middles(plane, _MOST_SIDE - (side - _MOST_SIDE) % 2)


def _brightness(*planes: Float32Array) -> tuple[float, float]:
    """Return from where to where brightness is shown."""
    values = np.concatenate([plane[np.isfinite(plane)] for plane in planes])
    if not values.size:
        return 0.0, 1.0
    middle = float(np.median(values))
    spread = 1.4826 * float(np.median(np.abs(values - middle)))
    low, high = middle - 2 * spread, float(values.max())
    return low, high if high > low else low + 1.0


def _largest(planes: list[Float32Array]) -> float:
    values = [float(np.nanmax(np.abs(plane))) for plane in planes if _any(plane)]
    return max(values, default=0.0) or 1.0


def _any(plane: Float32Array) -> bool:
    return bool(np.isfinite(plane).any())


def _asinh(plane: Float32Array, low: float, high: float) -> Json:
    part = np.clip((plane - low) / (high - low), 0, 1)
    return _grid(np.arcsinh(_SOFTENING * part) / np.arcsinh(_SOFTENING), low, high)


def _linear(plane: Float32Array, low: float, high: float) -> Json:
    span = float(high) - float(low) or 1.0
    return _grid(np.clip((plane - low) / span, 0, 1), low, high)


def _grid(part: NDArray[Any], low: float, high: float) -> Json:
    levels = np.where(np.isfinite(part), np.rint(np.nan_to_num(part) * _LEVELS), _UNKNOWN)
    return {
        "side": int(part.shape[-1]),
        "low": short(float(low)),
        "high": short(float(high)),
        "bytes": base64.b64encode(levels.astype(np.uint8).tobytes()).decode("ascii"),
    }


def _column(values: FloatArray) -> list[float | None]:
    return [short(value) for value in np.asarray(values, float).tolist()]
