"""Sliders: every position shows its own picture, and pages stay light."""

from __future__ import annotations

import itertools
import re

import ipywidgets as widgets
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trustlib.plotting import PAGE_BYTES, Slider, frames, player, sliders

TEXTS = {"name": "view-a", "caption": "A line.", "alt": lambda **at: f"Line plot for {at}"}
SMALL = {"a": Slider("First a", [1, 2, 3], start=2), "b": Slider("Second b", ["low", "high"])}


def box(name="view-a"):
    return player._BOXES[name]


def follow(stack, positions):
    """The picture that the browser shows: each stack shows the child at its selected index."""
    for position in positions:
        stack = stack.children[position]
    return stack.value


def alt_of(tag):
    return re.search(r'alt="([^"]*)"', tag).group(1)


@pytest.fixture
def draw(plain):
    """A drawer that counts its calls."""

    def make(**at):
        make.calls.append(at)
        return plain([0, len(str(at))])

    make.calls = []
    return make


def test_slider_by_hand():
    slider = Slider("Noise σ", [0.1, 1.0, 1 / 3], start=1.0)
    assert (slider.first, slider.options) == (1, ["0.1", "1", "0.3333"])
    assert Slider("λ", [1, 10], text="{:03d}".format).options == ["001", "010"]
    assert Slider("Kind", ["paper", "tight"]).first == 0
    assert [s.numeric for s in (slider, SMALL["b"], Slider("On", [True, False]))] == [True, False, False]


def test_slider_takes_any_sequence_of_values():
    assert Slider("λ", np.array([0.5, 2.0]), start=2.0).first == 1
    assert Slider("Pair", [(1, 2), (3, 4)]).options == ["(1, 2)", "(3, 4)"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((" ", [1, 2]), "label must say what the slider changes"),
        (("a", [1]), "at least two positions that are written differently, got 1"),
        (("a", []), "got none"),
        (("a", [1.00001, 1.00002]), "written differently, got 1, 1"),
        (("a", [1, 2], 3), r"start of 'a' must be one of \[?\(?1, 2.*got 3"),
    ],
)
def test_slider_refuses(arguments, words):
    with pytest.raises(ValueError, match=words):
        Slider(*arguments)


def test_every_combination_shows_its_own_picture(draw, shown):
    frames(SMALL, draw, **TEXTS)
    for (i, a), (j, b) in itertools.product(enumerate([1, 2, 3]), enumerate(["low", "high"])):
        assert (
            alt_of(follow(box().stack, (i, j)))
            == f"Line plot for {{&#x27;a&#x27;: {a}, &#x27;b&#x27;: &#x27;{b}&#x27;}}"
        )
    assert draw.calls == [{"a": a, "b": b} for a in (1, 2, 3) for b in ("low", "high")]


@given(st.lists(st.integers(2, 3), min_size=1, max_size=3), st.data())
def test_the_start_is_shown_first_for_any_number_of_sliders(sizes, data):
    starts = [data.draw(st.integers(0, size - 1)) for size in sizes]
    chosen = {f"s{k}": Slider(f"S{k}", list(range(n)), starts[k]) for k, n in enumerate(sizes)}
    view = sliders.View(chosen, lambda: None, "x", "view-a", "A.")
    assert view.combinations()[view.first()] == {f"s{k}": start for k, start in enumerate(starts)}
    assert len(view.combinations()) == np.prod(sizes)


def test_links_join_each_slider_to_all_stacks_of_its_level(draw, shown):
    frames(SMALL, draw, **TEXTS)
    joined = [(link.source, link.target) for link in box().links]
    first, second = box().controls
    inner = box().stack.children
    assert ((first, "index"), (box().stack, "selected_index")) in joined
    assert all(((second, "index"), (stack, "selected_index")) in joined for stack in inner)
    assert len(joined) == 1 + 3
    assert [first.index, box().stack.selected_index] == [1, 1]  # a starts at 2, the second of 1, 2, 3
    assert [stack.selected_index for stack in inner] == [0, 0, 0]
    assert [first.description, second.description] == ["First a", "Second b"]


def test_the_output_is_marked_as_a_figure_and_has_a_picture_for_print(draw, shown):
    frames(SMALL, draw, **TEXTS)
    (bundle, marks), (_, caption) = shown
    assert list(bundle) == ["application/vnd.jupyter.widget-view+json", "image/png", "text/plain"]
    assert bundle["application/vnd.jupyter.widget-view+json"]["model_id"] == box().model_id
    assert bundle["image/png"][:4] == b"\x89PNG"
    figure = marks["trustlib"]["figure"]
    assert (figure["name"], figure["caption"]) == ("view-a", "A line.")
    assert figure["alt"] == "Line plot for {'a': 2, 'b': 'low'}"
    assert caption == {"trustlib": {"caption_for": "view-a"}}


def test_one_text_for_all_pictures_gets_the_positions(draw, shown):
    frames(SMALL, draw, **{**TEXTS, "alt": "A rising line."})
    assert alt_of(follow(box().stack, (2, 1))) == "A rising line. First a: 3, Second b: high."


def test_descriptions_cannot_become_markup(draw, shown):
    frames({"a": SMALL["a"]}, draw, **{**TEXTS, "alt": lambda a: f'"{a}" < 5'})
    assert 'alt="&quot;1&quot; &lt; 5"' in follow(box().stack, (0,))


def test_pictures_know_their_size_before_they_are_decoded(draw, shown):
    frames({"a": SMALL["a"]}, draw, **TEXTS)
    assert 'width="288" height="192"' in follow(box().stack, (0,))  # 3 x 2 inches of 96 pixels


def test_common_limits_by_default_own_on_request(plain, shown):
    made = []

    def rising(a):
        made.append(plain([0, a]))
        return made[-1]

    one = {"a": Slider("a", [1, 10])}
    frames(one, rising, **TEXTS)
    low, high = made[0].axes[0].get_ylim()
    assert made[1].axes[0].get_ylim() == (low, high)
    assert high >= 10
    made.clear()
    frames(one, rising, **TEXTS, limits="own")
    assert made[0].axes[0].get_ylim()[1] < 2 < made[1].axes[0].get_ylim()[1]


def test_nothing_stays_open_in_pyplot(shown):
    import matplotlib.pyplot as plt

    def draw(a):
        figure, axes = plt.subplots(figsize=(2, 2), layout="constrained")
        axes.set(xlabel="x", ylabel="y")
        return figure

    frames({"a": SMALL["a"]}, draw, **TEXTS)
    assert plt.get_fignums() == []


def test_a_cell_that_runs_again_replaces_its_view(draw, shown):
    frames(SMALL, draw, **TEXTS)
    old, living = box(), len(widgets.widget._instances)
    frames(SMALL, draw, **TEXTS)
    assert box() is not old
    assert old.comm is None
    assert len(widgets.widget._instances) == living  # everything of the old one is closed
    assert player.weight_of_others("view-b") == box().weight


def test_pictures_that_are_too_heavy_are_refused_with_the_number_that_fits(draw, shown, monkeypatch):
    frames(SMALL, draw, **TEXTS)
    weight = box().weight
    monkeypatch.setattr(sliders, "PAGE_BYTES", weight)
    frames(SMALL, draw, **TEXTS)  # exactly full
    monkeypatch.setattr(sliders, "PAGE_BYTES", weight - 1)
    with pytest.raises(ValueError, match=r"6 pictures of 'view-a' take \d+ kB each; about 5 fit"):
        frames(SMALL, draw, **TEXTS)


def test_all_views_of_a_page_share_one_budget(draw, shown, monkeypatch):
    frames(SMALL, draw, **TEXTS)
    monkeypatch.setattr(sliders, "PAGE_BYTES", box().weight * 3 // 2)
    with pytest.raises(ValueError, match=r"of a page beside the 0\.0 MB of other sliders"):
        frames(SMALL, draw, **{**TEXTS, "name": "view-b"})
    frames(SMALL, draw, **TEXTS)  # the same view again needs no more room
    assert PAGE_BYTES == 2_500_000


@pytest.mark.parametrize(
    ("change", "kind", "words"),
    [
        ({"sliders": [SMALL["a"]]}, TypeError, "mapping from arguments of draw to sliders.*got list"),
        ({"sliders": {"a": [1, 2]}}, TypeError, "mapping from arguments"),
        ({"sliders": {}}, ValueError, "one to three sliders, got 0"),
        ({"sliders": dict.fromkeys("abcd", SMALL["a"])}, ValueError, "got 4"),
        (
            {"sliders": {k: Slider("x", range(8)) for k in "abc"}},
            ValueError,
            "8 x 8 x 8 = 512 pictures, 500 are",
        ),
        ({"draw": "no function"}, TypeError, "function that returns a figure, got str"),
        ({"alt": None}, TypeError, "alt must be a function or a text, got NoneType"),
        ({"alt": " "}, ValueError, "alt of 'view-a' is empty"),
        ({"alt": lambda **at: 5}, ValueError, "alt of 'view-a' is empty"),
        ({"alt": lambda **at: "A line."}, ValueError, "repeats the caption"),
        ({"name": "View"}, ValueError, "name must be lower-case words"),
        ({"caption": ""}, ValueError, "caption of 'view-a' is empty"),
        ({"limits": "same"}, ValueError, 'limits must be "common" or "own", got \'same\''),
    ],
)
def test_frames_refuses_before_it_draws(draw, shown, change, kind, words):
    call = {"sliders": SMALL, "draw": draw, **TEXTS, **change}
    with pytest.raises(kind, match=words):
        frames(call.pop("sliders"), call.pop("draw"), **call)
    assert draw.calls == []
    assert shown == []


def test_what_draw_must_not_return(plain, shown):
    one = {"a": SMALL["a"]}
    same = plain()
    with pytest.raises(ValueError, match="same figure twice for 'view-a': make a new one"):
        frames(one, lambda a: same, **TEXTS)
    with pytest.raises(TypeError, match="must be a matplotlib Figure, got NoneType"):
        frames(one, lambda a: None, **TEXTS)
    with pytest.raises(ValueError, match="axes 0 has no y label"):
        frames(one, lambda a: plain(ylabel="" if a == 3 else "y"), **TEXTS)

    def growing(a):
        figure = plain()
        figure.set_figwidth(2 + a)
        return figure

    with pytest.raises(ValueError, match="must have one size, got 288 x 192, 384 x 192, 480 x 192 pixels"):
        frames(one, growing, **TEXTS)
    assert shown == []


def test_an_error_in_draw_says_where(shown):
    def draw(a, b):
        raise ZeroDivisionError("one over zero")

    with pytest.raises(ZeroDivisionError, match="one over zero") as raised:
        frames(SMALL, draw, **TEXTS)
    assert raised.value.__notes__ == ["This happened while 'view-a' was drawn at a=1, b='low'."]


def test_a_kernel_opens_number_fields_at_the_first_move(draw, shown):
    frames(SMALL, draw, **TEXTS, recompute=True)
    still = list(box().children)
    assert not [w for w in still if isinstance(w, widgets.BoundedIntText)]  # what a static page shows
    box().controls[1].index = 1
    fields = [w for w in box().children if isinstance(w, widgets.BoundedIntText)]
    assert [(f.min, f.max, f.value) for f in fields] == [(1, 3, 2)]  # words have nothing in between
    before = len(draw.calls)
    fields[0].value = 3
    assert draw.calls[before:] == [{"a": 3, "b": "high"}]
    assert alt_of(box().children[-1].value).startswith("Line plot for")
    box().controls[1].index = 0
    assert len([w for w in box().children if isinstance(w, widgets.BoundedIntText)]) == 1


def test_numbers_between_positions_are_drawn_on_the_same_axes(plain, shown):
    made = []

    def rising(a):
        made.append(plain([0, a]))
        return made[-1]

    frames({"a": Slider("a", [1.0, 10.0])}, rising, **TEXTS, recompute=True)
    box().controls[0].index = 1
    field = next(w for w in box().children if isinstance(w, widgets.BoundedFloatText))
    field.value = 2.5
    assert made[-1].axes[0].lines[0].get_ydata()[1] == 2.5
    assert made[-1].axes[0].get_ylim() == made[0].axes[0].get_ylim()
    field.value = 99  # beyond the last position: the field holds it there
    assert field.value == 10.0
