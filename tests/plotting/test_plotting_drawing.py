"""Bands, reference lines and panels: what is drawn is what was given."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure
from scipy import stats

from trustlib.plotting import MethodStyle, band, reference_line, sample_band, small_multiples
from trustlib.plotting.figures import check_axes

STYLE = MethodStyle((0.2, 0.4, 0.6), "s", (5, 2))
LOOK = {"label": "ours", "style": STYLE}


def axes():
    return Figure().subplots()


def drawn(ax):
    """Line, lower and upper edge as they stand in the axes."""
    (line,), (area,) = ax.lines, ax.collections
    corners = area.get_paths()[0].vertices
    columns = [corners[corners[:, 0] == x, 1] for x in line.get_xdata()]
    low, high = np.array([[column.min(), column.max()] for column in columns]).T
    return np.asarray(line.get_ydata()), low, high


def test_band_draws_line_edges_and_style():
    ax = axes()
    band(ax, [1, 2, 4], [3, 4, 5], [2, 4, 1], [3, 9, 6], **LOOK)
    centre, low, high = drawn(ax)
    np.testing.assert_allclose(centre, [3, 4, 5])
    np.testing.assert_allclose(low, [2, 4, 1])
    np.testing.assert_allclose(high, [3, 9, 6])
    (line,) = ax.lines
    assert (line.get_label(), line.get_color(), line.get_marker()) == ("ours", STYLE.color, "s")
    np.testing.assert_allclose(ax.collections[0].get_facecolor()[0], (*STYLE.color, 0.2))


def test_band_leaves_places_without_a_number_empty():
    ax = axes()
    band(ax, [1, 2], [3, np.nan], [2, np.nan], [4, np.nan], **LOOK)
    assert np.isnan(ax.lines[0].get_ydata()[1])


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        (([1, 2], [1], [1], [1]), r"one common shape \(k,\), got"),
        (([[1]], [[1]], [[1]], [[1]]), r"one common shape"),
        (([1, 2], [1, 5], [0, 6], [2, 7]), "got 6, 5, 7 at x = 2.*not the distances"),
        (([1, 2], [1, 5], [0, 1], [2, 3]), "got 1, 5, 3 at x = 2"),
    ],
)
def test_band_refuses(arrays, words):
    with pytest.raises(ValueError, match=words):
        band(axes(), *arrays, **LOOK)


def test_sample_band_t_by_hand():
    # column 1, 3, 5: mean 3, sd 2, standard error 2 / sqrt(3) = 1.154701, t(0.975; 2) = 4.302653, half 4.968275
    ax = axes()
    note = sample_band(ax, [7], [[1], [3], [5]], unit="seeds", spread="t", **LOOK)
    centre, low, high = drawn(ax)
    np.testing.assert_allclose([centre[0], low[0], high[0]], [3, 3 - 4.968275, 3 + 4.968275], atol=1e-5)
    assert note == "mean and 95 % t interval over 3 seeds"


def test_sample_band_quantiles_and_range_by_hand():
    # 0, 1, 2, 3, 10: median 2; with level 0.5 the quartiles lie at places 1 and 3 of 0..4: 1 and 3
    column = [[3], [0], [10], [1], [2]]
    ax = axes()
    note = sample_band(ax, [7], column, unit="points", spread="quantiles", level=0.5, **LOOK)
    assert [float(v[0]) for v in drawn(ax)] == [2, 1, 3]
    assert note == "median and central 50 % of 5 points"
    ax = axes()
    note = sample_band(ax, [7], column, unit="points", spread="range", **LOOK)
    assert [float(v[0]) for v in drawn(ax)] == [2, 0, 10]
    assert note == "median and range over 5 points"


@given(st.integers(2, 8), st.integers(1, 5), st.floats(0.5, 0.99), st.integers(0, 10_000))
def test_sample_band_t_equals_scipy_column_by_column(count, width, level, seed):
    samples = np.random.default_rng(seed).normal(size=(count, width))
    ax = axes()
    sample_band(ax, np.arange(width), samples, unit="seeds", spread="t", level=level, **LOOK)
    _, low, high = drawn(ax)
    for k in range(width):
        column = samples[:, k]
        expected = stats.t.interval(level, count - 1, loc=column.mean(), scale=stats.sem(column))
        np.testing.assert_allclose((low[k], high[k]), expected, rtol=1e-9)


@given(st.sampled_from(["t", "quantiles", "range"]), st.integers(0, 10_000))
def test_sample_band_ignores_the_order_of_units_and_follows_shift_and_scale(spread, seed):
    rng = np.random.default_rng(seed)
    samples = rng.normal(size=(5, 3))
    first, second = axes(), axes()
    sample_band(first, [0, 1, 2], samples, unit="seeds", spread=spread, **LOOK)
    changed = 3 * rng.permutation(samples, axis=0) + 10
    sample_band(second, [0, 1, 2], changed, unit="seeds", spread=spread, **LOOK)
    np.testing.assert_allclose(np.array(drawn(second)), 3 * np.array(drawn(first)) + 10, rtol=1e-9)


def coverage(quantile):
    """Share of 4000 samples of 3 normal numbers whose mean +- quantile * standard error holds the true mean."""
    samples = np.random.default_rng(0).normal(size=(3, 4000))
    half = quantile * samples.std(axis=0, ddof=1) / np.sqrt(3)
    return float((np.abs(samples.mean(axis=0)) <= half).mean())


def test_sample_band_t_covers_as_often_as_it_says():
    samples = np.random.default_rng(0).normal(size=(3, 4000))
    ax = axes()
    sample_band(ax, np.arange(4000), samples, unit="seeds", spread="t", **LOOK)
    path = ax.collections[0].get_paths()[0].vertices
    inside = np.mean(
        [path[path[:, 0] == k, 1].min() <= 0 <= path[path[:, 0] == k, 1].max() for k in range(400)]
    )
    # standard error of a share 0.95 of 400: sqrt(0.95 * 0.05 / 400) = 0.0109; four of them
    assert abs(inside - 0.95) < 0.044
    # the planted fault: the normal quantile 1.96 with three units covers 0.81, far outside
    assert coverage(1.96) < 0.85
    assert abs(coverage(4.302653) - 0.95) < 4 * np.sqrt(0.95 * 0.05 / 4000)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"samples": [[1, 2]]}, 'spread="t" needs at least 2 rows.*got 1'),
        ({"samples": np.empty((0, 2)), "spread": "range"}, "needs at least 1 rows"),
        ({"samples": [[1, np.nan], [1, 2]]}, "NaN or infinity in 1 of 2 rows"),
        ({"samples": [1, 2]}, r"samples \(units, k\), got \(2,\) and \(2,\)"),
        ({"samples": [[1], [2]]}, r"got \(2,\) and \(2, 1\)"),
        ({"level": 95}, r"level must lie in \(0, 1\), got 95. Give 0.95"),
        ({"unit": " "}, 'such as "seeds"'),
        ({"spread": "sem"}, "one of t, quantiles, range, got 'sem'"),
    ],
)
def test_sample_band_refuses_before_it_draws(change, words):
    ax = axes()
    call = {"samples": [[1, 2], [3, 4]], "unit": "seeds", "spread": "t", **LOOK, **change}
    with pytest.raises(ValueError, match=words):
        sample_band(ax, [0, 1], call.pop("samples"), **call)
    assert not ax.lines


def test_one_unit_has_a_range():
    ax = axes()
    assert sample_band(ax, [0], [[4]], unit="runs", spread="range", **LOOK) == "median and range over 1 runs"
    assert [float(v[0]) for v in drawn(ax)] == [4, 4, 4]


@pytest.mark.parametrize("along", ["x", "y"])
@pytest.mark.parametrize("side", ["left", "right"])
def test_reference_line_stands_at_the_value_with_its_name_beside_it(along, side):
    figure = Figure(figsize=(4, 3), layout="constrained")
    ax = figure.subplots()
    ax.plot([0, 1], [0, 1])
    line = reference_line(ax, 0.25, "chance", along=along, side=side)
    figure.draw_without_rendering()
    values = line.get_ydata() if along == "y" else line.get_xdata()
    assert list(values) == [0.25, 0.25]
    assert line.get_linestyle() == "--"
    (name,) = ax.texts
    assert name.get_text() == "chance"
    assert name.get_fontsize() >= 9
    box, frame, at = name.get_window_extent(), ax.bbox, ax.transData.transform((0.25, 0.25))
    assert frame.x0 <= box.x0 < box.x1 <= frame.x1
    if along == "y":
        assert at[1] <= box.y0 < at[1] + 15
        assert (box.x0 < frame.x0 + 10) == (side == "left")
    else:
        assert (box.x1 < at[0]) == (side == "left")


def test_reference_line_outside_the_data_is_still_seen():
    ax = axes()
    ax.plot([0, 1], [0, 1])
    reference_line(ax, 4, "the paper's number")
    assert ax.get_ylim()[1] > 4
    assert ax.get_legend_handles_labels()[1] == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((np.nan, "chance"), "value must be finite, got nan"),
        ((0.5, "  "), "label must say what the line is"),
    ],
)
def test_reference_line_refuses(arguments, words):
    with pytest.raises(ValueError, match=words):
        reference_line(axes(), *arguments)


def test_reference_line_refuses_other_axes_and_sides():
    with pytest.raises(ValueError, match='along must be "x" or "y", got \'z\''):
        reference_line(axes(), 1, "a", along="z")
    with pytest.raises(ValueError, match='side must be "left" or "right", got \'top\''):
        reference_line(axes(), 1, "a", side="top")


def test_small_multiples_of_five_in_three_columns():
    figure, panels = small_multiples(list("abcde"), columns=3, height=2)
    assert [panel.get_title() for panel in panels] == list("abcde")
    assert tuple(figure.get_size_inches()) == (7, 4)  # two rows of two inches
    assert [axes.axison for axes in figure.axes] == [True] * 5 + [False]
    panels[0].plot([0, 1], [0, 9])
    assert len({panel.get_ylim() for panel in panels}) == 1
    # the third panel has nothing below it: it carries its own numbers, the first two do not
    numbers = [panel.xaxis.get_tick_params()["labelbottom"] for panel in panels]
    assert numbers == [False, False, True, True, True]


def test_small_multiples_need_one_label_per_row_and_column():
    figure, panels = small_multiples(list("abcd"), columns=2, share_x=False, share_y=False)
    with pytest.raises(ValueError, match="axes 0"):
        check_axes(figure)
    panels[0].set_ylabel("Loss")
    panels[2].set(ylabel="Loss", xlabel="Round")
    panels[3].set_xlabel("Round")
    check_axes(figure)


def test_small_multiples_can_have_their_own_axes():
    _, panels = small_multiples(["a", "b"], share_x=False, share_y=False)
    panels[0].set(xlim=(0, 5), ylim=(0, 7))
    assert panels[1].get_xlim() != panels[0].get_xlim()
    assert panels[1].get_ylim() != panels[0].get_ylim()


@pytest.mark.parametrize(
    ("call", "words"),
    [
        ({"titles": []}, "at least one panel, got none"),
        ({"titles": ["a"], "columns": 0}, "columns must be 1 to 4, got 0"),
        ({"titles": ["a"], "columns": 5}, "got 5: more do not fit 7 inches"),
        ({"titles": ["a"], "height": 0}, "positive number of inches, got 0"),
    ],
)
def test_small_multiples_refuse(call, words):
    with pytest.raises(ValueError, match=words):
        small_multiples(**call)
    assert not plt.get_fignums()
