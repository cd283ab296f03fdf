"""The tutorial in `docs` does what it says, and pictures show what was fitted."""

import math
import runpy
from pathlib import Path

import numpy as np
import pytest
from bokeh.models import Quad
from tutorial_scene import TUTORIAL, exposures

import alignsvc
from alignsvc import plots

SCRIPT = Path(__file__).parents[2] / "docs" / "model_fit.py"


@pytest.mark.slow
def test_the_tutorial_runs_and_its_dipoles_go_away() -> None:
    made = runpy.run_path(str(SCRIPT))
    by_case = {name: made[name] for name in ("shifted", "turned")}
    chi2 = {
        (name, geometry): fitted.chi2_per_degree
        for name, fits in by_case.items()
        for geometry, fitted in fits.items()
    }
    good = {("shifted", "shift"), ("shifted", "rshift"), ("turned", "rshift")}
    assert {case for case, value in chi2.items() if value < 1.05} == good
    error = math.hypot(*made["error"][2:4])
    turn = math.radians(made["correction"].rotation_deg)
    assert abs(abs(turn) - math.pi / 32) < 4 * error
    assert all("chi2/dof" in said for said in by_case["turned"]["none"].warnings)
    stars = made["stars"]
    assert stars["moffat"].chi2_per_degree > 1.3
    assert ["first" in said and "second" in said for said in stars["moffat"].warnings] == [True]
    assert abs(stars["empirical"].chi2_per_degree - 1) < 0.05
    assert stars["empirical"].warnings == ()
    page = made["html"]()
    assert all(title in page for title in made["pictures"])
    assert "g angle" in made["pictures"]["The covariance"]


def test_a_picture_of_a_scene_has_a_row_for_each_exposure_with_all_its_windows() -> None:
    fitted = alignsvc.fit_scene(exposures(TUTORIAL, seed=0))
    grid = plots.plot_scene(fitted)
    assert [(row, column) for _, row, column in grid.children] == [
        (row, column) for row in range(2) for column in range(3)
    ]
    for picture, row, _ in grid.children:
        quads = [one for one in picture.renderers if isinstance(one.glyph, Quad)]
        assert [len(quad.data_source.data["left"]) for quad in quads] == [
            len(fitted.exposures[row].windows)
        ]


def test_a_page_has_texts_beside_pictures_and_shows_them_as_they_are() -> None:
    fitted = alignsvc.fit_scene(exposures(TUTORIAL, seed=0))
    stamps = plots.plot_psfs(fitted)
    assert len(stamps.children) == 2
    page = plots.page("A < B", {"stars & more": stamps, "said": "one\ntwo < three\n  x  y\n  z"})
    # Inside a script < is written as bokeh does.
    assert "two &lt; three" in page.replace("\\u0026", "&").replace("&amp;lt;", "&lt;")
    assert "stars &amp; more" in page.replace("&amp;amp;", "&amp;")


def test_pictures_of_what_cannot_be_fitted() -> None:
    images = exposures(TUTORIAL, seed=0)
    dark = [alignsvc.SceneExposure(np.full(one.shape, np.nan), one.wcs) for one in images]
    assert len(plots.plot_exposures(dark).children) == 2
    nothing = alignsvc.fit_scene(dark)
    assert plots.plot_scene(nothing).children == []
    assert plots.plot_psfs(nothing).children == []
    with pytest.raises(ValueError, match="no covariance to show: no pixel"):
        plots.plot_correlations(nothing)
