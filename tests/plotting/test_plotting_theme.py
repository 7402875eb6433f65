"""The look: what the theme promises, and styles that can be told apart."""

from __future__ import annotations

import io

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from trustlib.plotting import method_styles, render, use_theme
from trustlib.plotting.theme import MIN_POINTS, WIDTH, MethodStyle


def luminance(color):
    """Relative luminance of sRGB as WCAG 2 defines it, in [0, 1]."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in color]
    return float(np.dot((0.2126, 0.7152, 0.0722), linear))


def test_theme_is_white_sharp_and_readable():
    use_theme()
    settings = matplotlib.rcParams
    assert (
        settings["figure.facecolor"] == settings["axes.facecolor"] == settings["savefig.facecolor"] == "white"
    )
    assert settings["savefig.dpi"] == 150
    assert settings["figure.figsize"][0] <= WIDTH
    sizes = ["axes.titlesize", "axes.labelsize", "xtick.labelsize", "ytick.labelsize", "legend.fontsize"]
    assert min(settings[name] for name in sizes) >= MIN_POINTS
    assert settings["axes.grid"] is True  # whitegrid
    assert settings["image.cmap"] == "viridis"  # seaborn alone would take "rocket"
    assert settings["font.sans-serif"] == ["DejaVu Sans"]  # the font that matplotlib ships


def test_theme_takes_the_colour_blind_palette():
    use_theme()
    colours = [entry["color"] for entry in matplotlib.rcParams["axes.prop_cycle"]]
    # first two of the palette, #0173b2 and #de8f05: 1/255, 115/255, 178/255 and 222/255, 143/255, 5/255
    np.testing.assert_allclose(colours[0], (1 / 255, 115 / 255, 178 / 255), atol=1e-9)
    np.testing.assert_allclose(colours[1], (222 / 255, 143 / 255, 5 / 255), atol=1e-9)


def test_a_figure_of_the_theme_has_a_white_ground_whatever_style_was_set_before():
    plt.style.use("dark_background")
    use_theme()
    figure, _ = plt.subplots(figsize=(2, 1))
    with Image.open(io.BytesIO(render(figure))) as picture:
        assert picture.convert("RGB").getpixel((0, 0)) == (255, 255, 255)


def test_styles_of_two_methods_by_hand():
    styles = method_styles(["ours", "theirs"])
    # entries 0 and 3 of the palette: #0173b2 and #d55e00
    assert [[round(255 * c) for c in style.color] for style in styles.values()] == [
        [1, 115, 178],
        [213, 94, 0],
    ]
    assert [(style.marker, style.dashes) for style in styles.values()] == [("o", ()), ("s", (5, 2))]


def test_styles_differ_in_colour_marker_and_dash_and_stand_out_from_white():
    styles = list(method_styles("abcdefgh").values())
    for part in ("color", "marker", "dashes"):
        assert len({getattr(style, part) for style in styles}) == 8
    for style in styles:
        assert 1.05 / (luminance(style.color) + 0.05) > 2  # contrast with white
    lightest = 1.05 / (luminance((236 / 255, 225 / 255, 51 / 255)) + 0.05)
    assert lightest < 2  # the control: the palette's yellow #ece133 would not pass


@given(st.lists(st.text(min_size=1), unique=True, min_size=2, max_size=8), st.integers(1, 7))
def test_a_style_depends_on_the_place_only_and_longer_lists_change_nothing(names, keep):
    keep = min(keep, len(names))
    assert list(method_styles(names).values())[:keep] == list(method_styles(names[:keep]).values())


def test_keywords_of_a_style_are_those_of_matplotlib():
    style = MethodStyle((0.0, 0.0, 1.0), "D", (2, 2))
    axes = plt.figure().subplots()
    (line,) = axes.plot([0, 1], **style.line())
    assert (line.get_color(), line.get_marker(), line.get_linestyle()) == ((0.0, 0.0, 1.0), "D", "--")
    assert MethodStyle((0, 0, 0), "o", ()).line()["linestyle"] == "-"
    points = axes.scatter([0], [1], **style.points())
    np.testing.assert_allclose(points.get_facecolor()[0, :3], (0, 0, 1))


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["a", "b", "a"], "different names, got a more than once"),
        ([], "1 to 8 names.*got 0"),
        (list("abcdefghi"), "got 9. Split the figure"),
    ],
)
def test_styles_refuse(names, words):
    with pytest.raises(ValueError, match=words):
        method_styles(names)
