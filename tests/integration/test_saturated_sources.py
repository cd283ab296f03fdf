"""Sources that are saturated in some exposure are known on the mosaic, and can be left out."""

import numpy as np
from astropy.io import fits
from astropy.table import Table
from workplaces import Command, Workplace

from alignsvc.domain.quality import SourceFlag


def test_sources_that_an_exposure_saturates_are_flagged_and_can_be_left_out(
    work: Workplace, command: Command
) -> None:
    brightest = [np.sort(fits.getdata(file), axis=None)[-30] for file in work.inputs.glob("*.fits")]
    limit = {"images.saturation": float(np.mean(brightest)), "output.wcs": "none"}
    assert command("run", work.config(limit)).code == 0
    all_sources = Table.read(work.run / "sources.ecsv")
    clipped = (all_sources["flags"] & int(SourceFlag.SATURATED)) > 0
    assert 1 <= clipped.sum() <= 8
    assert np.median(all_sources["flux"][clipped]) > np.quantile(all_sources["flux"], 0.8)

    limit |= {"run.directory": str(work.root / "without"), "detection.filters": ["not saturated"]}
    assert command("run", work.config(limit)).code == 0
    left = Table.read(work.root / "without" / "sources.ecsv")
    assert not ((left["flags"] & int(SourceFlag.SATURATED)) > 0).any()
