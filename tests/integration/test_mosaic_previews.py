"""A run leaves pictures of its mosaic, before and after, that are what its pixels are."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from durable_runs import make_sky, products, tell, write_config
from PIL import Image

from alignsvc.api import align, monitor
from alignsvc.domain.outcome import ExitCode
from alignsvc.errors import RunStoreError
from alignsvc.io.objects import LocalObjects
from alignsvc.run.pictures import picture_drawing, previewing
from alignsvc.run.seeing.mosaic_previews import MosaicPreviews, find_mosaic_previews
from alignsvc.run.seeing.parts import picture_json
from alignsvc.run.seeing.picture import RunViewer


@pytest.fixture(scope="module")
def sky(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_sky(tmp_path_factory.mktemp("previews") / "sky")


@pytest.fixture(scope="module")
def ended(sky: Path) -> Path:
    """A run to its end."""
    align(config(sky.parent / "run.yaml", sky))
    return sky.parent / "run"


def config(path: Path, sky: Path, **sections: dict[str, Any]) -> Path:
    """Write a configuration that detects sources on both mosaics."""
    return write_config(path, sky, alignment={"max_iterations": [2, 2]}, **sections)


def previews(run: Path) -> MosaicPreviews:
    found = find_mosaic_previews(LocalObjects(run))
    assert found is not None
    return found


def levels(png: bytes | None) -> np.ndarray:
    """Return the shades of a picture, row 0 at the bottom; 255 = no data."""
    assert png is not None
    return np.asarray(Image.open(io.BytesIO(png)))[::-1]


def test_after_is_the_mosaic_with_the_stretch_that_is_stated(ended: Path) -> None:
    found = previews(ended)
    (grid,) = found.pictures.grids
    mosaic = fits.getdata(ended / "mosaic.fits")
    assert grid.factor == 1
    assert grid.shape == mosaic.shape
    shades = grid.stretch(mosaic)
    drawn = levels(found.after)
    np.testing.assert_array_equal(drawn == 255, np.isnan(mosaic))
    good = np.isfinite(mosaic)
    np.testing.assert_allclose(drawn[good] / 254, shades[good], atol=0.6 / 254)
    assert (ended / "preview.png").read_bytes() == found.after


def test_before_differs_and_is_less_sharp(ended: Path) -> None:
    found = previews(ended)
    before, after = levels(found.before).astype(int), levels(found.after).astype(int)
    assert before.shape == after.shape
    assert np.mean(before != after) > 0.2
    fwhm = found.pictures.fwhm
    assert fwhm is not None
    assert fwhm.before_px > fwhm.after_px
    assert "input headers" in found.pictures.before_is
    assert found.pictures.missing == ""


def test_weights_and_a_part_pixel_by_pixel_are_there(ended: Path) -> None:
    found = previews(ended)
    (grid,) = found.pictures.grids
    weight = fits.getdata(ended / "mosaic.fits", "WEIGHT")
    np.testing.assert_array_equal(levels(found.weight) == 255, weight == 0)
    assert grid.largest_weight == pytest.approx(weight.max(), rel=0.1)
    crop = grid.crop
    assert crop is not None and crop.after is not None and crop.before is not None
    mosaic = fits.getdata(ended / "mosaic.fits")
    part = mosaic[crop.y0 : crop.y0 + crop.after.height, crop.x0 : crop.x0 + crop.after.width]
    good = np.isfinite(part)
    drawn = levels(found.contents[crop.after.name])
    np.testing.assert_allclose(drawn[good] / 254, crop.stretch(part)[good], atol=0.6 / 254)


def test_pages_and_widgets_get_them_as_a_part_of_the_picture(ended: Path) -> None:
    viewer = RunViewer(ended)
    first, second = viewer.look(), viewer.look()
    assert second.mosaic is first.mosaic
    told = json.loads(json.dumps(picture_json(first), allow_nan=False))["mosaic"]
    assert {"before", "after", "weight", "crop"} <= set(told["grids"][0])
    assert len(json.dumps(told)) < 3e6


def test_a_widget_is_sent_the_pictures_once(ended: Path) -> None:
    widget = monitor(ended)
    assert widget.mosaic == {"mosaic": previews(ended).json}
    sent = []
    widget.observe(sent.append, "mosaic")
    widget.refresh()
    assert sent == []


def test_what_pictures_were_made_of_is_gone_and_the_result_names_the_picture(
    sky: Path, ended: Path
) -> None:
    assert not list(ended.rglob("previews/*.npz"))
    assert not list(ended.rglob("tables/preview/*"))
    result = align(sky.parent / "run.yaml")  # of a run that has ended
    assert result.preview == ended / "preview.png"
    assert json.loads((ended / "report.json").read_text())["preview"] == str(result.preview)


@pytest.mark.slow
def test_a_run_that_is_killed_and_resumed_still_has_both(
    sky: Path, ended: Path, tmp_path: Path
) -> None:
    configs = [config(tmp_path / f"{name}.yaml", sky) for name in ("whole", "killed")]
    (whole,) = tell([{"config": str(configs[0]), "kills": []}])
    solved = [moment for name, moment in whole["events"] if name == "solved"]
    tell([{"config": str(configs[1]), "kills": [solved[0] + 1, 40]}])
    assert previews(configs[1].with_suffix("")).contents == previews(ended).contents


@pytest.mark.slow
def test_without_a_mosaic_there_is_no_picture_and_the_page_says_why(
    sky: Path, ended: Path, tmp_path: Path
) -> None:
    result = align(config(tmp_path / "run.yaml", sky, output={"mosaic": "none"}))
    assert result.preview is None
    assert not (tmp_path / "run" / "preview.png").exists()
    pictures = previews(tmp_path / "run").pictures
    assert pictures.grids == ()
    assert "output.mosaic is none" in pictures.missing
    table = "corrections.ecsv"
    assert (tmp_path / "run" / table).read_bytes() == (ended / table).read_bytes()


def test_a_picture_that_cannot_be_made_fails_no_run(
    sky: Path, ended: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> bytes:
        raise ValueError("odd")

    monkeypatch.setattr(picture_drawing, "png_bytes", broken)
    result = align(config(tmp_path / "run.yaml", sky))
    assert result.exit_code is ExitCode.DONE or result.exit_code is ExitCode.NOT_CONVERGED
    assert [note for note in result.notes if "pictures of the final mosaic are missing" in note]
    assert products(tmp_path / "run") == products(ended)
    assert find_mosaic_previews(LocalObjects(tmp_path / "run")) is None


@pytest.mark.slow
def test_a_row_that_cannot_be_binned_is_told_and_fails_no_run(
    sky: Path, ended: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> object:
        raise RunStoreError("this row is damaged")

    monkeypatch.setattr("alignsvc.tasks.preview.binned", broken)
    align(config(tmp_path / "run.yaml", sky))
    pictures = previews(tmp_path / "run").pictures
    assert pictures.grids == ()
    assert "this row is damaged" in pictures.missing
    assert products(tmp_path / "run") == products(ended)


@pytest.mark.slow
def test_a_run_whose_first_pass_kept_none_says_so(
    sky: Path, ended: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(previewing, "find_thumbnail", lambda *_: None)
    align(config(tmp_path / "run.yaml", sky))
    pictures = previews(tmp_path / "run").pictures
    assert pictures.grids[0].before is None
    assert pictures.grids[0].after is not None
    assert "no picture of the mosaic before" in pictures.missing
