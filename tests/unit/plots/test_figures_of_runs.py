"""What is drawn of a run is what its picture says, in units that the axes name."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace

import matplotlib as mpl
import numpy as np
import pytest
from drawn_runs import EPS_PX, MOVES_PX, SHIFT_MAS, SIDE, empty_run, many_exposures, three_exposures
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection, PathCollection
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.quiver import Quiver, QuiverKey

from alignsvc import plots
from alignsvc.domain.arrays import FloatArray
from alignsvc.domain.correction import Correction, Geometry
from alignsvc.domain.geometry import PixelBox, TangentPlane
from alignsvc.domain.grid import GridAxes, MosaicGrid
from alignsvc.domain.outcome import Convergence
from alignsvc.domain.quality import DisplacementFlag
from alignsvc.io.journal import LoopEnded
from alignsvc.plots.figures import OF_STATUS, SKY_BLUE, PlotFigure, round_below
from alignsvc.run.report.pulls import Pulls
from alignsvc.run.seeing.exposure_detail import ExposureDetail, SourceCutout, SourceResiduals
from alignsvc.run.seeing.mosaic_image import MosaicImage
from alignsvc.run.seeing.picture import RunPicture

OF_PICTURES: dict[str, Callable[[RunPicture], Figure]] = {
    "convergence": plots.plot_convergence,
    "footprints": plots.plot_footprints,
    "shifts": lambda picture: plots.plot_footprints(picture, colour="shift"),
    "corrections": lambda picture: plots.plot_corrections(picture, error_times=10),
    "held out": plots.plot_held_out,
    "stages": plots.plot_stages,
}


def only(axes: Axes, kind: type) -> object:
    (found,) = (one for one in axes.get_children() if isinstance(one, kind))
    return found


def labels(axes: Axes) -> list[str]:
    legend = axes.get_legend()
    return [] if legend is None else [text.get_text() for text in legend.get_texts()]


def line(axes: Axes, label: str) -> FloatArray:
    (found,) = (one for one in axes.lines if one.get_label().startswith(label))
    return np.column_stack([found.get_xdata(), found.get_ydata()])


def test_convergence_has_a_line_for_each_exposure_and_where_the_loop_ends() -> None:
    (axes,) = plots.plot_convergence(three_exposures()).axes
    assert axes.get_yscale() == "log"
    assert axes.get_ylabel() == "movement [px]"
    drawn = only(axes, LineCollection).get_segments()
    for row, segment in enumerate(drawn):
        there = np.isfinite(MOVES_PX[row])
        np.testing.assert_array_equal(segment[np.isfinite(segment[:, 1]), 1], MOVES_PX[row][there])
    assert len(drawn) == 3
    np.testing.assert_array_equal(line(axes, "largest")[:, 0], [1, 2, 3])
    np.testing.assert_array_equal(line(axes, "largest")[:, 1], [2.5, 0.03, 0.002])
    assert set(line(axes, "eps_shift")[:, 1]) == {EPS_PX}
    low, high = axes.get_ylim()
    assert low < 0.0005 < 2.5 < high
    assert labels(axes) == ["each of 3", "largest", "eps_shift, 0.003 px"]


def test_an_exposure_that_did_not_move_leaves_a_gap_on_a_log_scale() -> None:
    picture = three_exposures()
    still = replace(picture.passes[1], move_px=np.array([0.0, 0.03, np.nan]))
    figure = plots.plot_convergence(replace(picture, passes=(picture.passes[0], still)))
    segments = only(figure.axes[0], LineCollection).get_segments()
    assert [len(one[np.isfinite(one[:, 1])]) for one in segments] == [1, 2, 1]


def test_footprints_lie_where_they_are_with_east_to_the_left() -> None:
    (axes,) = plots.plot_footprints(three_exposures()).axes
    left, right = axes.get_xlim()
    assert left > right
    polygons = only(axes, LineCollection).get_segments()
    # b, a, c: in the order of the outlines, 6 arcmin apart, closed.
    assert [one[:, 0].mean() for one in (p[:4] for p in polygons)] == pytest.approx(
        [0, -6, 6], abs=1e-3
    )
    for one in polygons:
        assert np.ptp(one, axis=0) == pytest.approx(60 * SIDE, rel=1e-3)
        np.testing.assert_array_equal(one[0], one[-1])
    assert axes.get_xlabel() == "east [arcmin]"
    assert labels(axes) == ["aligned (3)", "failed (1)"]


def test_footprints_are_coloured_by_how_exposures_ended_those_that_did_not_on_top() -> None:
    picture = many_exposures(20, 1)
    (axes,) = plots.plot_footprints(picture).axes
    drawn = only(axes, LineCollection)
    colours = [to_hex(one) for one in drawn.get_colors()]
    assert colours == [OF_STATUS["aligned"]] * 18 + [OF_STATUS["skipped"]] * 2
    plain = only(plots.plot_footprints(replace(picture, passes=())).axes[0], LineCollection)
    assert len(plain.get_segments()) == 20
    # The first and the eleventh were skipped: rows of five, the eleventh in the third.
    places = [one[:4].mean(axis=0) for one in drawn.get_segments()[18:]]
    assert places[1][0] - places[0][0] == pytest.approx(2 * 3.6, rel=1e-3)


def test_footprints_are_shaded_by_how_far_exposures_were_moved_the_farthest_on_top() -> None:
    (axes,) = plots.plot_footprints(three_exposures(), colour="shift").axes
    drawn = only(axes, LineCollection)
    np.testing.assert_allclose(np.asarray(drawn.get_array()), [10.0, 50.0, 100.0])
    # c, a, b.
    middles = [one[:4, 0].mean() for one in drawn.get_segments()]
    np.testing.assert_allclose(middles, [6.0, -6.0, 0.0], atol=1e-3)
    assert axes.child_axes[0].get_ylabel() == "shift [mas]"


def test_a_colour_that_there_is_not_is_refused() -> None:
    with pytest.raises(ValueError, match="colour 'shifts' wanted, there are 'status' and 'shift'"):
        plots.plot_footprints(three_exposures(), colour="shifts")


def test_arrows_are_corrections_at_the_middles_of_their_exposures() -> None:
    (axes,) = plots.plot_corrections(three_exposures()).axes
    arrows = only(axes, Quiver)
    np.testing.assert_allclose(np.column_stack([arrows.U, arrows.V]), SHIFT_MAS)
    np.testing.assert_allclose(arrows.X, [-6.0, 0.0, 6.0], atol=1e-3)
    key = only(axes, QuiverKey)
    assert (key.U, key.text.get_text()) == (100.0, "100 mas")


def test_an_arrow_to_the_east_points_to_the_left() -> None:
    figure = plots.plot_corrections(three_exposures())
    figure.savefig(io.BytesIO())  # which draws it
    (axes,) = figure.axes
    arrows = only(axes, Quiver)
    tip = axes.transData.transform([[0, 0], [1, 0]])
    assert tip[1, 0] < tip[0, 0]
    # Offsets of the first arrow's outline on the screen: (30, 40) mas is left and up.
    outline = arrows.get_paths()[0].vertices
    far = outline[np.argmax(np.hypot(*outline.T))]
    assert far[0] / far[1] == pytest.approx(-30 / 40, rel=0.02)


def test_bars_are_errors_at_the_scale_of_the_arrows() -> None:
    (axes,) = plots.plot_corrections(three_exposures(), error_times=10).axes
    arrows = only(axes, Quiver)
    lines = [one for one in axes.collections if isinstance(one, LineCollection)]
    (bars,) = (one for one in lines if to_hex(one.get_colors()[0]) == SKY_BLUE)
    east, north = bars.get_segments()[:2]  # of a
    np.testing.assert_allclose(np.ptp(east, axis=0) * arrows.scale, [2 * 10 * 1.0, 0], atol=1e-9)
    np.testing.assert_allclose(np.ptp(north, axis=0) * arrows.scale, [0, 2 * 10 * 2.0], atol=1e-9)
    tip = np.array([arrows.X[0], arrows.Y[0]]) + SHIFT_MAS[0] / arrows.scale
    np.testing.assert_allclose(east.mean(axis=0), tip)
    assert axes.get_title(loc="left") == r"pass 3, bars of 10 $\sigma$"


def test_corrections_are_those_of_the_pass_that_the_run_keeps() -> None:
    picture = three_exposures()
    end = LoopEnded(Convergence.STALLED, 2)
    state = replace(picture.status.state, loop_end=end)
    stalled = replace(picture, status=replace(picture.status, state=state))
    (axes,) = plots.plot_corrections(stalled).axes
    arrows = only(axes, Quiver)
    np.testing.assert_allclose(np.column_stack([arrows.U, arrows.V]), SHIFT_MAS * 2 / 3)
    assert axes.get_title(loc="left") == "pass 2"
    (axes,) = plots.plot_footprints(stalled, colour="shift").axes
    assert only(axes, LineCollection).get_array().max() == pytest.approx(200 / 3)


def test_held_out_residuals_are_before_against_after() -> None:
    (axes,) = plots.plot_held_out(three_exposures()).axes
    marks = [one for one in axes.collections if isinstance(one, PathCollection)]
    assert [one.get_offsets().tolist() for one in marks] == [[[1.0, 0.02]], [[0.1, 0.09]]]
    assert len({one.get_facecolor().tobytes() for one in marks}) == 2
    assert labels(axes) == ["improved (1)", "unchanged (1)", "no change", "untested (1)"]
    assert "[px]" in axes.get_xlabel()


def test_stages_are_bars_since_the_first_in_a_unit_that_suits() -> None:
    (axes,) = plots.plot_stages(three_exposures()).axes
    assert axes.get_xlabel() == "time since the first stage began [min]"
    bars = {(b.get_x(), round(b.get_y() + b.get_height() / 2), b.get_width()) for b in axes.patches}
    wanted = [(0, 0, 1), (1, 1, 0.5), (1.5, 0, 0), (200 / 60, 0, 100 / 60)]
    assert sorted(bars) == [pytest.approx(one) for one in wanted]
    assert [one.get_text() for one in axes.get_yticklabels()] == ["measure", "merge"]
    assert labels(axes) == ["ended", "had failures", "broke off"]
    assert [text.get_text() for text in axes.texts] == ["pass 1", "2"]


def test_a_stage_that_nobody_drives_any_more_does_not_go_on() -> None:
    picture = three_exposures()
    left = replace(picture.stages[-1], ended_s=None)
    dead = replace(
        picture,
        status=replace(picture.status, state=replace(picture.status.state, exit_code=None)),
        stages=(*picture.stages[:-1], left),
    )
    (axes,) = plots.plot_stages(dead).axes
    # min: it has no length.
    assert max(b.get_x() + b.get_width() for b in axes.patches) == pytest.approx(200 / 60)
    assert "goes on" not in labels(axes)


def test_pulls_are_bars_under_a_unit_normal_of_as_many() -> None:
    values = np.random.default_rng(0).normal(size=(500, 2))
    pulls = Pulls.of(values, "about", 3, 3)
    assert pulls is not None
    (axes,) = plots.plot_pulls(pulls).axes
    heights = axes.patches[0].get_data().values
    np.testing.assert_array_equal(heights, pulls.counts)
    normal = line(axes, "unit normal")
    area = np.trapezoid(normal[:, 1], normal[:, 0])
    assert area == pytest.approx(1000 * 0.25, rel=1e-3)
    assert "n = 1000" in axes.texts[0].get_text()
    assert axes.get_xlabel() == "residual / its error"


def residuals() -> SourceResiduals:
    measured = np.array([[0.011, 0.0], [0.0, -0.020], [1.0, 1.0], [5.0, 5.0]])
    fitted = np.array([[0.001, 0.0], [0.0, 0.0], [np.nan, np.nan], [0.0, 0.0]])
    return SourceResiduals(
        source=np.array([1, 2, 3, 4]),
        chip=np.array([0, 0, 1, 0]),
        x=np.array([10.0, 90.0, 50.0, 60.0]),
        y=np.array([20.0, 80.0, 50.0, 60.0]),
        measured_px=measured,
        fitted_px=fitted,
        shared_px=np.zeros((4, 2)),
        covariance_px2=np.full((4, 3), 1e-4),
        snr=np.full(4, 50.0),
        flags=np.array([0, int(DisplacementFlag.HELD_OUT), 0, int(DisplacementFlag.SATURATED)]),
    )


def test_cutouts_are_rows_of_what_is_left_before_and_after_on_one_scale() -> None:
    y, x = np.mgrid[-6.0:7.0, -6.0:7.0].astype(np.float32)
    star = np.exp(-(x**2 + y**2) / 8)
    beside = np.exp(-((x - 1) ** 2 + y**2) / 8)
    bad = star.copy()
    bad[0, 0] = np.nan
    cutout = SourceCutout(1, (0, 0), bad, star, beside, star, star, None, (1.0, 0.0))
    detail = ExposureDetail("a", 2, residuals=residuals(), cutouts=(cutout, cutout))
    panels = plots.plot_cutouts(detail, n_sources=1).axes
    titles = [one.get_title() for one in panels]
    assert titles == ["exposure", "others", "left before", "left after"]
    assert panels[0].get_ylabel() == "source 2"
    before, after = (one.images[0] for one in panels[2:])
    dipole = bad - beside
    np.testing.assert_array_equal(np.ma.filled(before.get_array(), np.nan), dipole)
    assert np.abs(after.get_array()).max() == 0
    most = float(np.nanmax(np.abs(dipole)))
    assert before.get_clim() == after.get_clim() == (-most, most)
    assert len(plots.plot_cutouts(detail).axes) == 8


def test_cutouts_that_are_not_there_say_why() -> None:
    (axes,) = plots.plot_cutouts(ExposureDetail("a", missing=("it was not measured: empty",))).axes
    assert axes.texts[0].get_text() == "it was not measured: empty"


def test_residuals_of_a_chip_are_arrows_with_their_scale_in_pixels() -> None:
    (axes,) = plots.plot_exposure_residuals(residuals()).axes
    arrows = only(axes, Quiver)
    np.testing.assert_allclose(np.column_stack([arrows.X, arrows.Y]), [[10, 20], [90, 80]])
    np.testing.assert_allclose(np.column_stack([arrows.U, arrows.V]), [[10, 0], [0, -20]])
    assert only(axes, QuiverKey).text.get_text() == "0.01 px"
    assert labels(axes) == ["used (1)", "held out (1)", "rejected (1)"]
    assert len({tuple(one) for one in arrows.get_facecolor()}) == 2
    (other,) = plots.plot_exposure_residuals(residuals(), chip=1).axes
    np.testing.assert_allclose(only(other, Quiver).U, [1000])
    (none,) = plots.plot_exposure_residuals(residuals(), chip=2).axes
    assert none.texts[0].get_text() == "no sound measurement on chip 2"


@pytest.mark.parametrize("width_in", [3.0, 3.5, 7.0])
def test_all_names_of_correlations_lie_within_the_figure(width_in: float) -> None:
    basis = Geometry.RSHIFT.basis
    total = Correction.identity(TangentPlane(10.0, 20.0), Geometry.RSHIFT)
    fitted = replace(total, covariance=basis @ np.diag([1e-6, 1e-6, 1e-10]) @ basis.T)
    figure = plots.plot_correction_correlations(fitted, width_in=width_in)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    (axes,) = figure.axes
    scale = axes.child_axes[0].yaxis
    for text in (*axes.get_xticklabels(), *axes.get_yticklabels(), scale.label):
        box = text.get_window_extent(canvas.get_renderer())
        assert box.x0 >= 0 and box.y0 >= 0
        assert box.x1 <= figure.bbox.width and box.y1 <= figure.bbox.height


def test_correlations_are_of_what_was_free() -> None:
    free = np.array([[4e-6, 1e-6, -1e-14], [1e-6, 1e-6, 0], [-1e-14, 0, 9e-12]])
    basis = Geometry.RSHIFT.basis
    plane = TangentPlane(10.0, 20.0)
    turned = Correction(plane, np.eye(2), np.zeros(2), Geometry.RSHIFT, basis @ free @ basis.T)
    (axes,) = plots.plot_correction_correlations(turned).axes
    drawn = np.asarray(axes.images[0].get_array())
    np.testing.assert_allclose(drawn, [[1, 0.5, 0], [0.5, 1, 0], [0, 0, 1]], atol=1e-5)
    assert "-0.00" not in [one.get_text() for one in axes.texts]
    names = [one.get_text() for one in axes.get_yticklabels()]
    assert names == ["shift east\n$\\pm$2 mas", "shift north\n$\\pm$1 mas", "rotation\n$\\pm$3e-6"]
    assert axes.child_axes[0].get_ylabel() == "correlation"
    with pytest.raises(ValueError, match="was not fitted"):
        plots.plot_correction_correlations(Correction.identity(plane, Geometry.SHIFT))


def mosaic(axes: GridAxes | None = None) -> MosaicImage:
    box = PixelBox(10, 20, 50, 40)
    pixels = np.random.default_rng(0).normal(100.0, 1.0, box.shape)
    pixels[0, 0] = np.nan
    grid = MosaicGrid(0, TangentPlane(150.0, 2.0), 0.5, 29.5, 29.5, (64, 64), (32, 32))
    if axes is not None:
        grid = replace(grid, axes=axes)
    return MosaicImage(grid, box, pixels, np.ones(box.shape))


def test_a_mosaic_is_in_arcsec_about_its_middle_with_east_to_the_left() -> None:
    (axes,) = plots.plot_mosaic(mosaic()).axes
    assert axes.get_xlim() == (10.0, -10.0)
    assert axes.get_ylim() == (-5.0, 5.0)
    assert axes.get_xlabel() == r"east of RA 150.00000$\degree$ [arcsec]"
    assert axes.get_ylabel() == r"north of Dec +2.00000$\degree$ [arcsec]"
    shades = axes.images[0].get_array()
    assert np.ma.is_masked(shades[0, 0])
    order = np.argsort(mosaic().pixels[1])
    assert (np.diff(np.asarray(shades)[1][order]) > 0).all()


def test_a_mosaic_on_axes_that_run_otherwise_is_in_its_pixels() -> None:
    (axes,) = plots.plot_mosaic(mosaic(GridAxes(0.0, 1.0, 1.0, 0.0))).axes
    assert axes.get_xlim() == (9.5, 49.5)
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("x [px]", "y [px]")


@pytest.mark.parametrize("draw", OF_PICTURES.values(), ids=OF_PICTURES)
def test_what_there_is_nothing_of_says_so(draw: Callable[[RunPicture], Figure]) -> None:
    (axes,) = draw(empty_run()).axes
    assert any(word in axes.texts[0].get_text() for word in ("no ", "not "))


@pytest.mark.parametrize("draw", OF_PICTURES.values(), ids=OF_PICTURES)
def test_a_figure_is_written_as_vectors_and_changes_no_setting(
    draw: Callable[[RunPicture], Figure],
) -> None:
    before = dict(mpl.rcParams)
    figure = draw(three_exposures())
    content = io.BytesIO()
    figure.savefig(content, format="svg")
    assert b"<path" in content.getvalue()
    assert dict(mpl.rcParams) == before
    assert figure.get_figwidth() in (plots.ONE_COLUMN_IN, plots.TWO_COLUMNS_IN)


def test_a_notebook_shows_a_figure() -> None:
    figures = [draw(three_exposures()) for draw in OF_PICTURES.values()]
    assert {type(figure) for figure in figures} == {PlotFigure}
    assert figures[-1]._repr_png_().startswith(b"\x89PNG")


def test_axes_of_the_user_are_drawn_in_and_their_figure_is_returned() -> None:
    own = Figure()
    left, right = own.subplots(1, 2)
    assert plots.plot_convergence(three_exposures(), left) is own
    assert plots.plot_held_out(three_exposures(), axes=right) is own
    assert left.get_ylabel() == "movement [px]"
    assert "held-out" in right.get_xlabel()


def test_thousands_of_exposures_are_few_artists() -> None:
    picture = many_exposures(5000, 5)
    for draw in (plots.plot_convergence, plots.plot_footprints, plots.plot_corrections):
        figure = draw(picture)
        assert len(figure.axes[0].get_children()) < 30


@pytest.mark.parametrize(("value", "below"), [(99.9, 50.0), (100.0, 100.0), (0.021, 0.02), (7, 5)])
def test_scale_arrows_have_round_lengths(value: float, below: float) -> None:
    assert round_below(value) == pytest.approx(below)
