"""Figures enter a page with name, caption, description and labels, or not at all."""

from __future__ import annotations

import base64
import io

import matplotlib.pyplot as plt
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure
from PIL import Image

from trustlib.plotting import render, show, small_multiples, use_theme
from trustlib.plotting.figures import check_axes, check_figure, check_texts, sentences

TEXTS = {"name": "fig-a", "caption": "Error over rounds.", "alt": "Line plot. The error rises from 1 to 2."}


def test_show_emits_one_picture_with_marks_and_its_caption(plain, shown):
    png = render(plain())
    show(plain(), **TEXTS)
    (picture, marks), (words, caption) = shown
    assert picture == {"image/png": png, "text/plain": "<fig-a: Line plot. The error rises from 1 to 2.>"}
    # 3 x 2 inches are 288 x 192 CSS pixels
    assert marks == {"image/png": {"width": 288, "height": 192}, "trustlib": {"figure": TEXTS}}
    assert caption == {"trustlib": {"caption_for": "fig-a"}}
    assert "<em>Error over rounds.</em>" in words["text/html"]
    assert "Line plot. The error rises" in words["text/html"]


def test_show_closes_the_figure_and_leaves_the_others(shown):
    use_theme()
    other, figure = plt.figure(), plt.figure()
    figure.subplots().set(xlabel="x", ylabel="y")
    show(figure, **TEXTS)
    assert plt.get_fignums() == [other.number]


def test_texts_cannot_become_markup(plain, shown):
    show(plain(), name="fig-a", caption="Is a < b & c?", alt="Two <lines>.")
    html = shown[1][0]["text/html"]
    assert "Is a &lt; b &amp; c?" in html
    assert "Two &lt;lines&gt;." in html


def test_show_in_a_plain_interpreter_says_one_line(plain, capsys):
    show(plain(), **TEXTS)
    lines = capsys.readouterr().out.splitlines()
    assert lines == ["<fig-a: Line plot. The error rises from 1 to 2.>", "<fig-a: Error over rounds.>"]


def test_pictures_keep_their_resolution_whatever_the_figure_was_made_for(shown):
    figure = Figure(figsize=(2, 1), dpi=50, layout="constrained")
    figure.subplots().set_axis_off()
    show(figure, **TEXTS)
    with Image.open(io.BytesIO(shown[0][0]["image/png"])) as picture:
        assert picture.size == (300, 150)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"caption": " "}, "caption of 'fig-a' is empty"),
        ({"alt": ""}, "alt of 'fig-a' is empty"),
        ({"alt": None}, "alt of 'fig-a' is empty"),
        ({"caption": "One. Two. Three."}, "caption of 'fig-a' has 3 sentences, 2 are enough"),
        ({"alt": "One. Two. Three. Four."}, "alt of 'fig-a' has 4 sentences, 3 are enough"),
        ({"alt": "Error over rounds"}, "alt of 'fig-a' repeats the caption"),
        ({"name": "Figure 1"}, "for instance \"fig-noise\", got 'Figure 1'"),
        ({"name": ""}, "lower-case words joined by hyphens"),
    ],
)
def test_show_refuses_texts_and_shows_nothing(plain, shown, change, words):
    with pytest.raises(ValueError, match=words):
        show(plain(), **{**TEXTS, **change})
    assert shown == []


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("One sentence", 1),
        ("One at ε = 0.5. Another!", 2),
        ("As in Fig. 3, e.g. by Wang et al. (eq. 7), a vs. b.", 1),
        ("Does it hold? It does (see below). Yes.", 3),
        ("With $f(x) = x. \\quad y$ inside.", 1),
        ('He said "no." Then yes, as in no. 5.', 2),
        ("", 0),
    ],
)
def test_sentences_by_hand(text, count):
    assert sentences(text) == count


@given(st.lists(st.sampled_from(["Loss falls at 0.1", "See eq. 3", "It is so"]), min_size=1, max_size=5))
def test_sentences_counts_what_was_joined(parts):
    assert sentences(". ".join(parts) + ".") == len(parts)


def test_what_is_no_figure_is_refused(plain):
    with pytest.raises(TypeError, match="must be a matplotlib Figure, got str"):
        show("picture.png", **TEXTS)
    with pytest.raises(TypeError, match=r"got Axes. Give its .figure"):
        show(plain().axes[0], **TEXTS)


def test_an_axis_with_numbers_needs_a_label(plain):
    with pytest.raises(ValueError, match="axes 0 has no x label: set_xlabel with quantity, symbol and unit"):
        show(plain(xlabel=""), **TEXTS)
    figure = Figure()
    left, right = figure.subplots(1, 2)
    left.set(xlabel="x", ylabel="y")
    right.set(xlabel="x", title="second")
    right.twinx().set_ylabel("z")
    check_axes(figure)  # y of the right panel is that of its row
    left.set_ylabel("")
    with pytest.raises(ValueError, match="axes 0 has no y label"):
        check_axes(figure)  # the second axis of the right panel has another quantity
    left.set_yticks([])
    with pytest.raises(ValueError, match=r"axes 1 \('second'\) has no y label"):
        check_axes(figure)


def test_axes_that_show_no_numbers_need_no_label():
    figure = Figure()
    hidden, off, bare = figure.subplots(1, 3)
    hidden.set_visible(False)
    off.set_axis_off()
    bare.set(xticks=[], yticks=[])
    check_axes(figure)


def test_a_label_of_the_whole_figure_serves_all_panels():
    figure, _ = small_multiples(list("abcd"), columns=2, share_x=False, share_y=False)
    figure.supxlabel("Round")
    with pytest.raises(ValueError, match="has no y label"):
        check_axes(figure)
    figure.supylabel("Loss")
    check_axes(figure)


def test_a_colour_bar_needs_a_label():
    figure = Figure(layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(np.eye(2))
    axes.set_axis_off()
    bar = figure.colorbar(image, ax=axes)
    with pytest.raises(ValueError, match="axes 1 has no y label"):
        check_axes(figure)
    bar.set_label("Accuracy (fraction)")
    check_axes(figure)


def test_the_third_dimension_needs_a_label():
    figure = Figure()
    axes = figure.add_subplot(projection="3d")
    axes.set(xlabel="x", ylabel="y")
    with pytest.raises(ValueError, match="axes 0 has no z label"):
        check_axes(figure)


def test_a_wide_figure_is_refused(plain):
    figure = plain()
    figure.set_figwidth(7.5)
    with pytest.raises(ValueError, match=r"'fig-a' is 7\.5 inches wide, a page holds 7"):
        show(figure, **TEXTS)


def test_small_text_is_refused(plain):
    figure = plain()
    figure.axes[0].text(0, 1, "tiny", fontsize=8)
    with pytest.raises(ValueError, match=r"text of 8 points \('tiny'\): 9 is the smallest"):
        show(figure, **TEXTS)
    figure.axes[0].texts[0].set_visible(False)
    check_figure(figure, "fig-a")


def test_titles_belong_into_the_caption_but_panels_may_have_theirs(plain):
    with pytest.raises(ValueError, match="has the title 'Results': put it into the caption"):
        show(plain(title="Results"), **TEXTS)
    figure, panels = small_multiples(["a", "b"])
    panels[0].set(xlabel="x", ylabel="y")
    panels[1].set_xlabel("x")
    render(figure)
    check_figure(figure, "fig-a")
    figure.suptitle("Results")
    with pytest.raises(ValueError, match="has the title 'Results'"):
        check_figure(figure, "fig-a")


def test_labels_that_the_edge_cuts_off_are_refused(plain):
    figure = plain(xlabel="A label that is much longer than a figure of three inches can ever hold")
    with pytest.raises(ValueError, match=r"cuts off 'A label .*layout=\"constrained\""):
        show(figure, **TEXTS)
    figure = plain()
    figure.axes[0].text(2, 1, "far out").set_in_layout(False)
    figure.axes[0].set(xlim=(0, 1), ylim=(0, 2))
    with pytest.raises(ValueError, match="cuts off 'far out'"):
        show(figure, **TEXTS)


def test_figures_of_the_theme_pass_at_any_width(shown):
    use_theme()
    for width in (3, 5, 7):
        figure, axes = plt.subplots(figsize=(width, 2.5))
        axes.plot([1, 2], label="ours")
        axes.set(xlabel="Privacy budget ε (log scale)", ylabel="Accuracy (fraction)", xscale="log")
        axes.legend()
        show(figure, **TEXTS)
    assert len(shown) == 6


def test_check_texts_takes_the_allowed_lengths():
    check_texts("fig-1-b", "One. Two.", "One. Two. Three.")


def test_png_survives_as_base64(plain, shown):
    show(plain(), **TEXTS)
    png = shown[0][0]["image/png"]
    assert base64.b64decode(base64.b64encode(png)) == png
    assert png[:4] == b"\x89PNG"
