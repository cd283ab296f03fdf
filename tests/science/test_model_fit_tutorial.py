"""The tutorial in `docs` does what it says, and pictures show what was fitted."""

import base64
import math
import re
import runpy
from pathlib import Path

import numpy as np
import pytest
from matplotlib.collections import PatchCollection
from tutorial_scene import TUTORIAL, exposures

import alignsvc
from alignsvc import plots
from alignsvc.numerics.models.modelling.fitted_scene import FittedScene

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


@pytest.fixture(scope="module")
def fitted() -> FittedScene:
    return alignsvc.fit_scene(exposures(TUTORIAL, seed=0))


def test_a_picture_of_a_scene_has_a_row_for_each_exposure_with_all_its_windows(
    fitted: FittedScene,
) -> None:
    figure = plots.plot_scene(fitted)
    panels = [axes for axes in figure.axes if axes.images]
    assert len(panels) == 2 * 3
    for k, axes in enumerate(panels):
        exposure = fitted.exposures[k // 3]
        (windows,) = (one for one in axes.collections if isinstance(one, PatchCollection))
        corners = [path.vertices[:4].min(axis=0).tolist() for path in windows.get_paths()]
        assert corners == [[box.x0 - 0.5, box.y0 - 0.5] for box in exposure.windows]
        assert axes.get_xlim() == (-0.5, exposure.pixels.shape[1] - 0.5)
        assert axes.get_xlabel() == "x [px]"
    left = np.ma.filled(panels[2].images[0].get_array(), np.nan)
    np.testing.assert_array_equal(left, fitted.exposures[0].residual)


def test_crosses_are_where_sources_are_by_the_corrected_header(fitted: FittedScene) -> None:
    panels = [axes for axes in plots.plot_scene(fitted).axes if axes.images]
    assert fitted.sources is not None
    for k, exposure in enumerate(fitted.exposures):
        (crosses,) = panels[3 * k].lines
        found = np.column_stack([crosses.get_xdata(), crosses.get_ydata()])
        true = TUTORIAL.pixels(k).T
        nearest = [np.hypot(*(found - place).T).min() for place in true]
        assert max(nearest) < 0.1, exposure.name


def test_brighter_pixels_are_darker_and_stamps_show_wings(fitted: FittedScene) -> None:
    image = plots.plot_exposures(exposures(TUTORIAL, seed=0)).axes[0].images[0]
    row = exposures(TUTORIAL, seed=0)[0].pixels[50]
    order = np.argsort(row)
    assert (np.diff(np.asarray(image.get_array())[50][order]) >= 0).all()
    assert image.get_cmap()(1.0)[:3] == (0.0, 0.0, 0.0)
    stamps = [axes.images[0] for axes in plots.plot_psfs(fitted).axes]
    for stamp, exposure in zip(stamps, fitted.exposures, strict=True):
        light = np.sinh(np.asarray(stamp.get_array())) * 1e-3
        np.testing.assert_allclose(light, exposure.psf_stamp / exposure.psf_stamp.max(), atol=1e-6)


def test_correlations_are_between_all_unknowns_by_name(fitted: FittedScene) -> None:
    (axes,) = plots.plot_correlations(fitted).axes
    assert fitted.fit is not None and fitted.fit.covariance is not None
    names = [one.get_text() for one in axes.get_yticklabels()]
    assert names == [unknown.name for unknown in fitted.fit.unknowns]
    drawn = np.asarray(axes.images[0].get_array())
    error = np.sqrt(np.diagonal(fitted.fit.covariance))
    np.testing.assert_allclose(drawn * np.outer(error, error), fitted.fit.covariance)


def test_a_page_has_texts_beside_pictures_and_shows_them_as_they_are(fitted: FittedScene) -> None:
    stamps = plots.plot_psfs(fitted)
    page = plots.page("A < B", {"stars & more": stamps, "said": "one\ntwo < three\n  x  y\n  z"})
    assert "<h2>stars &amp; more</h2>" in page
    assert "<p>one</p><p>two &lt; three</p><pre>  x  y\n  z</pre>" in page
    (content,) = re.findall(r'src="data:image/png;base64,([^"]+)"', page)
    assert base64.b64decode(content).startswith(b"\x89PNG")
    assert "http" not in page


def test_pictures_of_what_cannot_be_fitted_say_why() -> None:
    images = exposures(TUTORIAL, seed=0)
    dark = [alignsvc.SceneExposure(np.full(one.shape, np.nan), one.wcs) for one in images]
    assert len(plots.plot_exposures(dark).axes) == 2
    nothing = alignsvc.fit_scene(dark)
    for figure in (plots.plot_scene(nothing), plots.plot_psfs(nothing)):
        (axes,) = figure.axes
        assert axes.texts[0].get_text().startswith("no pixel")
    with pytest.raises(ValueError, match="no covariance to show: no pixel"):
        plots.plot_correlations(nothing)
