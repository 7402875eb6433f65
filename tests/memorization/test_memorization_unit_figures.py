"""Figures of units and interventions show the rows that they are given, with labels and units on the axes."""

from __future__ import annotations

import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt

from trustlib.memorization import unit_figures
from trustlib.memorization.unit_class_evidence import points_and_classes
from trustlib.memorization.unit_evidence import high_units, size_dependence
from trustlib.memorization.unit_responses import UnitResponses, unit_gallery

KINDS = ("members", "redrawn", "clean", "heldout", "heldout_clean", "untrained", "untrained_heldout")
LAYERS = [f"body.conv{k}.act" for k in range(1, 9)]


@pytest.fixture(autouse=True)
def no_window():
    backend = matplotlib.get_backend()
    matplotlib.use("Agg")
    yield
    plt.close("all")
    matplotlib.use(backend)


def found(seed, n=64, units=8):
    rng = np.random.default_rng(seed)
    return UnitResponses(
        **{kind: {layer: rng.standard_exponential((n, units)) for layer in LAYERS} for kind in KINDS},
        n_views=2,
    )


def pruned():
    rows = [{"encoder": e, "arm": "none", "share": 0.0, "draw": 0, "accuracy": 0.6} for e in range(2)]
    for encoder in range(2):
        for share in (0.2, 0.4):
            for arm in ("top", "low", "most active", "least active"):
                rows.append(
                    {"encoder": encoder, "arm": arm, "share": share, "draw": 0, "accuracy": 0.6 - share / 2}
                )
            for draw in range(3):
                value = 0.5 - share / 2 + 0.05 * draw
                rows.append(
                    {"encoder": encoder, "arm": "random", "share": share, "draw": draw, "accuracy": value}
                )
    return pd.DataFrame(rows)


def replaced():
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        [
            {"encoder": e, "layer": layer, "delta": np.nan if k == 0 else rng.random(), "drop": 0.05 * k}
            for e in range(2)
            for k, layer in enumerate(LAYERS)
        ]
    )


def inserted():
    arms = ("top unit", "quiet unit", "other unit", "all layers")
    return pd.DataFrame(
        [
            {"image": i, "arm": arm, "before": 0.5, "after": 0.5 + 0.1 * k}
            for i in range(3)
            for k, arm in enumerate(arms)
        ]
    )


def figures():
    """All figures by name."""
    both = [found(0), found(1)]
    labels = [np.arange(64) % 4] * 2
    pictures = np.random.default_rng(0).integers(0, 256, (64, 3, 8, 8), dtype=np.uint8)
    return {
        "layers": unit_figures.unitmem_by_layer(high_units(both).table),
        "plane": unit_figures.unit_class_plane(points_and_classes(both, both[::-1], labels, labels).table),
        "size": unit_figures.size_dependence(size_dependence(both).table),
        "pruning": unit_figures.pruning_marks(pruned()),
        "replacement": unit_figures.replacement_drops(replaced()),
        "insertion": unit_figures.insertion_changes(inserted()),
        "browser": unit_figures.unit_browser(unit_gallery(both[0], n_units=3), pictures, pictures[::-1]),
    }


def test_every_figure_fits_the_page_and_names_its_axes():
    for name, figure in figures().items():
        assert figure.get_size_inches()[0] <= 7.0, name
        figure.canvas.draw()
        if name != "browser":
            shown = [axes for axes in figure.axes if axes.axison]
            assert all(axes.get_xlabel() for axes in shown), name
            assert shown[0].get_ylabel(), name


def test_layers_show_one_mark_per_encoder_and_the_means():
    table = high_units([found(0), found(1)]).table
    figure = unit_figures.unitmem_by_layer(table)
    axes = figure.axes[0]
    assert [len(marks.get_offsets()) for marks in axes.collections] == [16, 16, 16]  # 2 encoders, 8 layers
    means = table[table["points"] == "heldout"].groupby("layer")["mean"].mean()
    drawn = [line for line in axes.lines if len(line.get_xdata())][1]
    np.testing.assert_allclose(drawn.get_ydata(), means)
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [
        "training images",
        "held-out images",
        "untrained network",
    ]


def test_pruning_is_measured_against_the_same_encoder_and_spans_the_draws():
    table = pruned()
    table.loc[table["encoder"] == 1, "accuracy"] += 0.2  # a better encoder, which loses as much
    # arms at share .2: .5 - .6; random draws .4, .45, .5: -.2, -.15, -.1; at share .4 the arms: .4 - .6
    for share, top, low in ((None, -0.1, -0.2), (0.4, -0.2, -0.3)):
        axes = unit_figures.pruning_marks(table, share).axes[0]
        marks = [c for c in axes.collections if len(c.get_offsets()) == 2]
        assert marks[0].get_offsets()[:, 0].tolist() == pytest.approx([top, top])
        assert marks[-1].get_offsets()[:, 0].tolist() == pytest.approx([low + 0.05] * 2)
        lines = axes.collections[-2].get_segments()
        assert [line[:, 0].tolist() for line in lines] == [pytest.approx([low, low + 0.1])] * 2
    assert [text.get_text() for text in axes.get_yticklabels()] == list(unit_figures.ARMS.values())


def test_insertion_shows_after_minus_before():
    axes = unit_figures.insertion_changes(inserted()).axes[0]
    heights = [marks.get_offsets()[:, 1].tolist() for marks in axes.collections]
    assert heights == [pytest.approx([0.1 * k] * 3) for k in range(4)]


def test_browser_shows_favourites_of_both_sides_in_order():
    rows = np.array([[1.0], [4.0], [2.0]])
    kinds = {kind: {"a": rows} for kind in KINDS} | {"heldout": {"a": rows[::-1]}}
    pictures = np.arange(3, dtype=np.uint8)[:, None, None, None] * np.ones((1, 1, 2, 2), dtype=np.uint8)
    gallery = unit_gallery(UnitResponses(**kinds, n_views=1), n_units=1, k=2)
    figure = unit_figures.unit_browser(gallery, pictures, pictures)
    shown = [axes for axes in figure.axes if axes.images]
    assert [int(axes.images[0].get_array()[0, 0]) for axes in shown] == [1, 2, 1, 0]
    assert [axes.get_title() for axes in shown] == ["1.00", "0.50", "1.00", "0.50"]
