"""Bytes of figures: equal on every run; compressed ones look the same."""

from __future__ import annotations

import base64
import io
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from trustlib.plotting import render
from trustlib.plotting.encoding import compress

SCRIPT = """
import hashlib, matplotlib
from matplotlib.figure import Figure
from trustlib.plotting import render
figure = Figure(figsize=(3, 2), layout="constrained")
figure.subplots().plot([1, 2], label="a")
figure.axes[0].legend()
print(*(hashlib.sha256(render(figure, format=f)).hexdigest() for f in ("png", "svg")))
"""


def png_of(pixels):
    """The PNG file of an array of shape (height, width, 3), uint8."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def pixels_of(data):
    with Image.open(io.BytesIO(data)) as picture:
        return np.asarray(picture.convert("RGB")).astype(int)


def test_two_processes_render_the_same_bytes():
    runs = {
        subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True).stdout
        for _ in range(2)
    }
    assert len(runs) == 1


def test_rendered_files_carry_no_date_and_no_version(plain):
    svg = render(plain(), format="svg").decode()
    assert "<dc:date>" not in svg
    assert "Matplotlib v" not in svg
    assert b"Software" not in render(plain())


def test_size_follows_inches_and_dots(plain):
    with Image.open(io.BytesIO(render(plain(), dpi=100))) as picture:
        assert picture.size == (300, 200)  # 3 x 2 inches
    with Image.open(io.BytesIO(render(plain()))) as picture:
        assert picture.size == (450, 300)  # 150 dots per inch


@pytest.mark.parametrize(
    ("call", "words"),
    [({"format": "pdf"}, "png or svg, got 'pdf'"), ({"dpi": 0}, "dpi must be > 0, got 0")],
)
def test_render_refuses(plain, call, words):
    with pytest.raises(ValueError, match=words):
        render(plain(), **call)


@given(st.integers(1, 32), st.integers(0, 10_000))
def test_few_colours_are_kept_to_the_eye(count, seed):
    rng = np.random.default_rng(seed)
    colours = rng.integers(0, 256, size=(count, 3), dtype=np.uint8)
    pixels = colours[rng.integers(0, count, size=(40, 50))]
    picture = compress(png_of(pixels), dpi=96)
    off = np.abs(pixels_of(picture.data) - pixels.astype(int)).max(axis=-1) > 24
    assert off.mean() <= 0.005


def test_a_plot_becomes_a_small_palette_that_looks_the_same(plain):
    png = render(plain(np.sin(np.arange(50))), dpi=144)
    picture = compress(png, dpi=144)
    assert picture.mime == "image/png"
    assert len(picture.data) < len(png) / 2
    with Image.open(io.BytesIO(picture.data)) as reduced:
        assert reduced.mode == "P"
    assert (np.abs(pixels_of(picture.data) - pixels_of(png)).max(axis=-1) > 24).mean() <= 0.005


def test_many_hues_are_kept_without_loss():
    pixels = np.random.default_rng(0).integers(0, 256, size=(60, 60, 3), dtype=np.uint8)
    picture = compress(png_of(pixels), dpi=96)
    assert picture.mime == "image/webp"
    np.testing.assert_array_equal(pixels_of(picture.data), pixels)
    # the planted fault: 32 colours for all would change nearly every pixel
    with Image.open(io.BytesIO(png_of(pixels))) as original:
        coarse = original.quantize(32, dither=Image.Dither.NONE).convert("RGB")
    assert (np.abs(np.asarray(coarse).astype(int) - pixels).max(axis=-1) > 24).mean() > 0.5


def test_a_picture_knows_how_large_it_is_shown_and_what_it_weighs():
    picture = compress(png_of(np.zeros((144, 288, 3), dtype=np.uint8)), dpi=144)
    assert (picture.width, picture.height) == (192, 96)  # 2 x 1 inches of 96 CSS pixels
    head, _, body = picture.uri().partition(",")
    assert head == "data:image/png;base64"
    assert base64.b64decode(body) == picture.data
    assert picture.weight == len(head) + 1 + len(body)


def test_compression_is_the_same_every_time(plain):
    png = render(plain())
    assert compress(png, dpi=150) == compress(png, dpi=150)
