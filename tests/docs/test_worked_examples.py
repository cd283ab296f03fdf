"""What the how-tos work through step by step, done as they say."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS
from told_names import blocks, fenced

import alignsvc
from alignsvc.domain.celestial import CelestialWcs
from alignsvc.io.scamp_head import head_text

DOCS = Path(__file__).parents[2] / "docs"


def test_cards_of_a_head_file_are_put_into_a_header(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    wcs = WCS(naxis=2)
    wcs.wcs.ctype, wcs.wcs.crval = ("RA---TAN", "DEC--TAN"), (150.0, 2.0)
    wcs.wcs.crpix, wcs.wcs.cd = (4.5, 5.5), np.diag([-0.2, 0.2]) / 3600
    given = wcs.to_header()
    images = [fits.ImageHDU(np.ones((10, 8), np.float32), given) for _ in range(2)]
    fits.HDUList([fits.PrimaryHDU(), *images]).writeto("data/a.fits")
    right = []
    for ra in (150.1, 150.2):
        wcs.wcs.crval = ra, 2.5
        right.append(CelestialWcs(wcs.deepcopy(), (10, 8)))
    text = "COMMENT  Université\n" + head_text(right, None)
    Path("data/a.head").write_text(text, encoding="utf-8")
    (code,) = blocks((DOCS / "from_scamp.md").read_text(), "python")
    exec(compile(code, "from_scamp.md", "exec"), {})  # noqa: S102
    with fits.open("merged/a.fits") as file:
        assert [hdu.header["CRVAL1"] for hdu in file[1:]] == [150.1, 150.2]
        assert file[1].header["CRVAL2"] == 2.5
        assert (file[2].data == 1).all()


@pytest.mark.slow
def test_swarp_and_we_put_stars_at_the_same_places(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = next((found for name in ("SWarp", "swarp") if (found := shutil.which(name))), None)
    if program is None:
        pytest.skip("swarp is not installed: its mosaic was not compared with ours")
    monkeypatch.chdir(tmp_path)
    Path("sky.yaml").write_text(
        "{seed: 4, layout: {name: stack, count: 4, ra: 150.1, dec: 2.2, jitter_arcsec: 3.0},"
        " camera: {shape: [256, 256], scale_arcsec: 0.2}, stars: {density: 250}}"
    )
    alignsvc.simulate("sky.yaml", "data")
    text = (DOCS / "from_swarp.md").read_text()
    (config,) = blocks(text, "yaml")
    Path("align.yaml").write_text(config + "cluster: {backend: serial}\n")
    for language, body in fenced(text):
        for line in body.splitlines() if language == "sh" else ():
            words = {
                "alignsvc": f"{sys.executable} -m alignsvc.cli.main",
                "swarp": f"{program} -VERBOSE_TYPE QUIET",
            }
            first, _, rest = line.partition(" ")
            subprocess.run(f"{words[first]} {rest}", shell=True, check=True)
    theirs, ours = fits.getdata("coadd.fits"), fits.getdata("runs/on_grid/mosaic.fits")
    assert theirs.shape == ours.shape
    apart = _offsets_of_stars(np.nan_to_num(ours), np.nan_to_num(theirs))
    assert len(apart) > 20
    assert np.abs(np.median(apart, axis=0)).max() < 0.003
    assert 1.48 * np.median(np.abs(apart)) < 0.01


def _offsets_of_stars(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return how far the centroids of the brightest stars are apart in two images, px."""
    import sep

    found = []
    for image in (one, other):
        image = np.ascontiguousarray(image, np.float64)
        sky = sep.Background(image)
        stars = sep.extract(image - sky.back(), 20, err=sky.globalrms)
        x, y, _ = sep.winpos(image - sky.back(), stars["x"], stars["y"], 2.5)
        found.append(np.column_stack([x, y]))
    near = [found[1][np.argmin(np.hypot(*(found[1] - place).T))] for place in found[0]]
    apart = np.array(near) - found[0]
    return np.asarray(apart[np.hypot(*apart.T) < 0.5])
