"""Equal axes: the smallest limits that hold everything, in every direction."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure

from trustlib.plotting import fix_limits

ENDS = st.tuples(st.integers(-50, 50), st.integers(1, 50)).map(lambda pair: (pair[0], pair[0] + pair[1]))


def figure(xlim, ylim, **settings):
    made = Figure()
    made.subplots().set(xlim=xlim, ylim=ylim, **settings)
    return made


def limits(made):
    return tuple(map(float, made.axes[0].get_xlim())), tuple(map(float, made.axes[0].get_ylim()))


def test_two_figures_by_hand():
    figures = [figure((0, 1), (2, 3)), figure((-1, 0.5), (2.5, 9))]
    assert fix_limits(figures) == [{"x": (-1, 1), "y": (2, 9)}]
    assert [limits(made) for made in figures] == [((-1, 1), (2, 9))] * 2


@given(st.lists(st.tuples(ENDS, ENDS), min_size=1, max_size=4))
def test_common_limits_hold_all_touch_the_outermost_and_do_not_change_again(boxes):
    figures = [figure(*box) for box in boxes]
    ((x, y),) = {limits(made) for made in figures if fix_limits(figures)}
    for place, (low, high) in enumerate((x, y)):
        assert low == min(box[place][0] for box in boxes)
        assert high == max(box[place][1] for box in boxes)
    before = [limits(made) for made in figures]
    fix_limits(figures)
    assert [limits(made) for made in figures] == before


@given(st.permutations([((0, 1), (0, 1)), ((2, 3), (0, 4)), ((-1, 0), (2, 3))]))
def test_the_order_of_figures_does_not_matter(boxes):
    assert fix_limits([figure(*box) for box in boxes]) == [{"x": (-1, 3), "y": (0, 4)}]


def test_inverted_and_logarithmic_axes_stay_so():
    figures = [figure((0, 1), (5, 0)), figure((0, 1), (9, 1))]
    assert fix_limits(figures)[0]["y"] == (9, 0)
    figures = [figure((1, 10), (0, 1), xscale="log"), figure((0.1, 5), (0, 1), xscale="log")]
    assert fix_limits(figures)[0]["x"] == (0.1, 10)
    assert [made.axes[0].get_xscale() for made in figures] == ["log", "log"]


def test_colour_bars_keep_their_own_range():
    figures = []
    for top in (1, 5):
        made = Figure()
        axes = made.subplots()
        image = axes.imshow(np.zeros((2, 2)), vmin=0, vmax=top)
        made.colorbar(image, ax=axes)
        figures.append(made)
    assert fix_limits(figures)[1] == {}
    assert [tuple(map(float, made.axes[1].get_ylim())) for made in figures] == [(0, 1), (0, 5)]


def test_three_dimensions():
    figures = []
    for top in (1, 4):
        made = Figure()
        made.add_subplot(projection="3d").set(xlim=(0, 1), ylim=(0, 1), zlim=(0, top))
        figures.append(made)
    fix_limits(figures)
    first, second = (tuple(map(float, made.axes[0].get_zlim())) for made in figures)
    assert first == second
    assert first[1] >= 4


def test_figures_of_another_build_are_refused():
    two = Figure()
    two.subplots(1, 2)
    with pytest.raises(ValueError, match="same axes, got figures with 1 and 2 axes"):
        fix_limits([figure((0, 1), (0, 1)), two])
    with pytest.raises(ValueError, match="same axes, got none"):
        fix_limits([])
