"""Every figure of points and layers passes the checks that `trustlib.plotting.show` makes, and shows its data."""

import numpy as np
import pandas as pd
import pytest

from trustlib.memorization import figures
from trustlib.memorization.layermem import LayerMem
from trustlib.plotting.figures import check_axes, check_figure, close

RNG = np.random.default_rng(0)


def table(pairs=2, layers=4, n=12):
    return LayerMem(
        tuple(f"conv{i}" for i in range(layers)),
        RNG.normal(0.1, 0.1, (pairs, layers, n)),
        RNG.normal(0, 0.1, (pairs, layers, 2 * n)),
    )


def scored(pairs=2, n=10):
    rows = [
        {
            "pair": p,
            "subset": s,
            "point": i,
            "align_f": f,
            "align_g": g,
            "score": g - f,
            "ratio": (g - f) / (g + f),
        }
        for p in range(pairs)
        for s in "SCIE"
        for i, (f, g) in enumerate(RNG.uniform(0.2, 1, (n, 2)))
    ]
    return pd.DataFrame(rows)


def images(n):
    return RNG.integers(0, 256, (n, 3, 8, 8), dtype=np.uint8)


def growth():
    excess = np.array([0.0, 0.1, 0.2])
    columns = {
        "epoch": [1, 2, 4],
        "excess": excess,
        "low": excess - 0.1,
        "high": excess + 0.1,
        "external": 0.01,
    }
    return pd.DataFrame(columns)


def forms():
    rows = scored()
    return rows.assign(none=rows["score"], range=rows["score"] / 2)


MAKERS = {
    "subsets": lambda: figures.subsets(scored()),
    "alignments": lambda: figures.alignments(scored()),
    "gallery": lambda: figures.gallery({"most": (images(8), [0.1] * 8), "least": (images(8), [-0.1] * 8)}),
    "training": lambda: figures.training(growth()),
    "histogram": lambda: figures.score_histogram(
        RNG.normal(size=40), RNG.normal(size=40), "after 3 epochs", 2.0
    ),
    "layers": lambda: figures.layers(table()),
    "explorer": lambda: figures.explorer(table(), images(12), 1, table().scores[0]),
    "overlap": lambda: figures.overlap(np.eye(4), 0.2),
    "normalisations": lambda: figures.normalisations(forms()),
}


@pytest.mark.parametrize("name", MAKERS)
def test_figure_can_be_shown(name):
    figure = MAKERS[name]()
    figure.canvas.draw()
    check_figure(figure, "fig-memorization-test")
    check_axes(figure)
    close(figure)


def test_candidates_are_drawn_above_the_diagonal_where_g_is_worse():
    rows = pd.DataFrame({"pair": 0, "subset": ["C", "E"], "align_f": [0.1, 0.3], "align_g": [0.4, 0.3]})
    figure = figures.alignments(rows)
    external, candidates = (c.get_offsets() for c in figure.axes[0].collections)
    np.testing.assert_allclose(candidates, [[0.1, 0.4]])
    np.testing.assert_allclose(external, [[0.3, 0.3]])
    close(figure)


def test_explorer_shows_the_images_that_other_draws_chose():
    chosen, shown = np.zeros((1, 6)), images(6)
    chosen[0, 4] = 1.0  # the other draws favour image 4, the scores of the table do not
    one = LayerMem(("conv",), np.arange(6.0)[::-1].reshape(1, 1, 6) / 10, None)
    figure = figures.explorer(one, shown, 0, chosen, n_images=2)
    pictures = [a for a in figure.get_axes() if a.images]
    np.testing.assert_array_equal(pictures[0].images[0].get_array(), np.moveaxis(shown[4], 0, -1))
    assert pictures[0].get_title() == "0.10"
    close(figure)
