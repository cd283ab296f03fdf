"""Facts about a mosaic of three exposures, for tests of its file."""

from __future__ import annotations

from typing import Any

import numpy as np

from alignsvc.io.mosaic_header import MosaicFacts, MosaicInputs


def mosaic_inputs(**changed: Any) -> MosaicInputs:
    """Return three exposures of 100, 200 and 300 s on one night."""
    columns: dict[str, Any] = {
        "id": np.array(["a", "night/b", "ü"]),
        "filter_name": np.array(["r"] * 3),
        "mid_time_mjd": np.array([60000.1, 60000.2, 60000.3]),
        "exposure_time_s": np.array([100.0, 200.0, 300.0]),
        "flux_scale": np.array([0.01, 0.005, 1 / 300]),
        "gain": np.array([150.0, 300.0, 450.0]),
        "east_arcsec": np.array([0.1, -0.2, 0.1]),
        "north_arcsec": np.zeros(3),
        "rotation_deg": np.zeros(3),
    }
    return MosaicInputs(**{**columns, **changed})


def mosaic_facts(inputs: MosaicInputs | None = None, **changed: Any) -> MosaicFacts:
    """Return what is known of their mosaic."""
    values: dict[str, Any] = {
        "run_id": "0123456789abcdef",
        "verdict": "converged",
        "eps_shift_px": 0.003,
        "n_passes": 3,
        "resampler": "drizzle",
        "sky": "mesh",
        "units": "ADU",
        "has_zero_points": False,
        "telescope": "VST",
        "instrument": "OMEGACAM",
    }
    return MosaicFacts(inputs=inputs or mosaic_inputs(), **{**values, **changed})
