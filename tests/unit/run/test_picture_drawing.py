"""Pictures of mosaics: small enough for a page, alike in stretch, and what they say they are."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from alignsvc.domain.geometry import TangentPlane
from alignsvc.domain.grid import GridAxes, MosaicGrid
from alignsvc.io.objects import LocalObjects
from alignsvc.io.png import NO_DATA_AMONG_GREYS
from alignsvc.run.pictures.mosaic_pictures import (
    MosaicPictures,
    Thumbnail,
    directions,
    write_pictures,
)
from alignsvc.run.pictures.picture_drawing import Drawing, drawn
from alignsvc.run.seeing.mosaic_previews import find_mosaic_previews


def grid(component: int, side: int, axes: GridAxes | None = None) -> MosaicGrid:
    plane = TangentPlane(10.0, 20.0)
    shape = (side, side)
    if axes is None:
        return MosaicGrid(component, plane, 0.2, 1.0, 1.0, shape, (512, 512))
    return MosaicGrid(component, plane, 0.2, 1.0, 1.0, shape, (512, 512), axes)


def thumbnail(component: int, side: int, seed: int, fields: int = 2) -> Thumbnail:
    """Return white noise, which no PNG can make small, with a corner that nothing covers."""
    random = np.random.default_rng(seed)
    weight = np.ones((side, side), np.float32)
    weight[: side // 4, : side // 4] = 0.0
    value = random.normal(size=(side, side)).astype(np.float32)
    crop = random.normal(size=(fields, 256, 256)).astype(np.float32)
    field = np.arange(2 * fields).reshape(fields, 2)
    return Thumbnail(component, 3, value * weight, weight, field, crop)


@pytest.fixture
def objects(tmp_path: Path) -> LocalObjects:
    return LocalObjects(tmp_path)


def test_all_pictures_of_a_page_together_stay_below_3_mb(objects: LocalObjects) -> None:
    sides = (1600, 840, 840, 840)
    grids = [grid(k, 3 * side) for k, side in enumerate(sides)]
    before, after = (
        {k: thumbnail(k, side, seed + k) for k, side in enumerate(sides)} for seed in (1, 11)
    )
    made = [drawn(objects, one, Drawing(before, after), is_largest=k == 0) for k, one in
            enumerate(grids)]  # fmt: skip
    write_pictures(objects, MosaicPictures(tuple(made)))
    found = find_mosaic_previews(objects)
    assert found is not None
    assert sum(map(len, found.contents.values())) * 4 / 3 < 3e6
    assert made[0].after is not None
    assert made[0].factor * made[0].after.width >= 4800


def test_the_place_shown_pixel_by_pixel_is_where_the_two_differ_most(objects: LocalObjects) -> None:
    before, after = thumbnail(0, 64, 1, fields=3), thumbnail(0, 64, 1, fields=3)
    after.crop[1] += 5.0
    pictures = drawn(objects, grid(0, 192), Drawing({0: before}, {0: after}), is_largest=True)
    assert pictures.crop is not None
    assert (pictures.crop.x0, pictures.crop.y0) == (2, 3)
    assert pictures.crop.stretch.sky == pytest.approx(5.0, abs=0.1)


def test_what_nothing_covers_has_a_colour_of_its_own_and_row_0_is_at_the_bottom(
    objects: LocalObjects,
) -> None:
    pictures = drawn(objects, grid(0, 192), Drawing({}, {0: thumbnail(0, 64, 1)}), is_largest=True)
    assert pictures.before is None
    assert pictures.after is not None
    picture = Image.open(io.BytesIO(objects.get(pictures.after.name))).convert("RGB")
    assert picture.size == (64, 64)
    assert picture.getpixel((3, 60)) == NO_DATA_AMONG_GREYS
    assert picture.getpixel((3, 3)) != NO_DATA_AMONG_GREYS


def test_directions_are_those_on_the_picture() -> None:
    east, north = directions(grid(0, 9))
    assert (east, north) == (pytest.approx((-1.0, 0.0)), pytest.approx((0.0, 1.0)))
    # x to the north, y to the east: a grid turned by 90 degrees.
    east, north = directions(grid(0, 9, GridAxes(0.0, 1.0, 1.0, 0.0)))
    assert (east, north) == (pytest.approx((0.0, 1.0)), pytest.approx((1.0, 0.0)))


def test_pictures_that_are_replaced_leave_nothing_behind(objects: LocalObjects) -> None:
    for seed in (1, 2):
        drawing = Drawing({}, {0: thumbnail(0, 64, seed)})
        made = drawn(objects, grid(0, 192), drawing, is_largest=True)
        write_pictures(objects, MosaicPictures((made,)))
    named = {one.name for one in made.files}
    assert {name for name in objects.list("") if name.endswith(".png")} == named


def test_what_is_still_the_same_is_not_read_again(
    objects: LocalObjects, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert find_mosaic_previews(objects) is None
    made = drawn(objects, grid(0, 192), Drawing({}, {0: thumbnail(0, 64, 1)}), is_largest=True)
    write_pictures(objects, MosaicPictures((made,)))
    first = find_mosaic_previews(objects)
    assert first is not None
    assert (first.before, first.after is None, first.weight is None) == (None, False, False)
    monkeypatch.setattr("alignsvc.run.seeing.mosaic_previews.read_pictures", None)
    assert find_mosaic_previews(objects, first) is first
    monkeypatch.undo()
    objects.delete(made.files[0].name)
    damaged = find_mosaic_previews(objects)
    assert damaged is not None
    assert (damaged.after, damaged.pictures.grids) == (None, ())
    assert made.files[0].name in damaged.pictures.missing
