"""Every figure can be drawn from made-up results and passes the rules of the page."""

from __future__ import annotations

import matplotlib
import numpy as np
import pandas as pd
import pytest

from trustlib import plotting
from trustlib.gnn_stealing import figures
from trustlib.gnn_stealing.evidence_attacks import LABELS
from trustlib.plotting.figures import check_figure

matplotlib.use("agg")


@pytest.fixture(autouse=True)
def theme():
    with matplotlib.rc_context():
        plotting.use_theme()
        yield


def rows(**columns):
    """A frame with an interval around a centre."""
    frame = pd.DataFrame(columns)
    return frame.assign(centre=0.6, low=0.5, high=0.7)


def comparison():
    attacks = ("contrastive", "rmse", "labels")
    keys = [(g, a, t) for g in ("one", "two_parts") for a in ("gin", "sage") for t in attacks]
    frame = rows(**dict(zip(("graph", "architecture", "attack"), zip(*keys, strict=True), strict=True)))
    return figures.comparison(frame, attacks, unit="Fidelity (fraction)")


def curves():
    frame = rows(attack=["contrastive", "contrastive", "labels", "labels"], nodes=[10, 100, 10, 100])
    return figures.budget_curves(frame, ("contrastive", "labels"))


def ablation():
    frame = rows(view=["signs", "signs", "plain", "plain"], setting=["one gin", "all", "one gin", "all"])
    return figures.ablation(frame, {"signs": "random signs", "plain": "no view"}, 0.01)


def defence():
    frame = pd.DataFrame(
        {
            "defence": ["none", "noise", "noise"], "strength": ["", "0.1", "0.2"],
            "fidelity": [0.9, 0.8, 0.7], "honest": [0.9, 0.9, 0.8],
        }
    )  # fmt: skip
    return figures.defence(frame, {"noise": "noise"})


def anatomy():
    values = {"accuracy": [0.7, 0.8], "fidelity": [0.6, 0.9], "target_accuracy": 0.9, "chance": [0.2, 0.3]}
    return figures.anatomy(
        pd.DataFrame({"attack": ["contrastive", "rmse"], **values}), ("contrastive", "rmse")
    )


def speed():
    frame = pd.DataFrame({"form": ["dense", "lean", "edges"], "nodes": 100, "seconds": [1.0, 0.5, 0.01]})
    return figures.speed(frame)


POINTS = np.random.default_rng(0).normal(size=(40, 2))
CLASSES = np.arange(40) % 10  # more classes than markers
DRAWN = {
    "comparison": comparison,
    "curves": curves,
    "ablation": ablation,
    "defence": defence,
    "anatomy": anatomy,
    "speed": speed,
    "responses": lambda: figures.responses(POINTS, CLASSES, axes_name="t-SNE"),
    "copies": lambda: figures.copies(POINTS, POINTS + 1, CLASSES, CLASSES > 2),
    "training": lambda: figures.training({"a": [3.0, 2.0], "b": [3.0, 2.5]}, 1.0, 3.0),
    "spectrum": lambda: figures.spectrum({"a": np.geomspace(1e-4, 1e-2, 50), "b": np.zeros(50)}),
    "mismatch": lambda: figures.mismatch(pd.DataFrame([[0.8, 0.7], [0.6, 0.9]], ["gin", "gat"], ["gin", "gat"])),
    "bars": lambda: figures.bars(rows(name=["a", "b"]), {"b": "second", "a": "first"}, unit="Fidelity", rows="Row"),
    "dial": lambda: figures.dial({"thief": rows(sigma=[0.0, 1.0])}, unit="Noise", value="Fraction"),
}  # fmt: skip


@pytest.mark.parametrize("name", DRAWN)
def test_figure_passes_the_rules_of_the_page(name):
    import matplotlib.pyplot as plt

    figure = DRAWN[name]()
    plotting.render(figure)
    check_figure(figure, f"fig-{name}")
    plt.close(figure)


def test_every_attack_has_a_colour_and_a_name():
    assert set(figures.ORDER) <= set(LABELS)


def test_rolling_mean_by_hand():
    found = figures._rolling_mean(np.array([0.0, 3.0, 6.0]), 3)
    assert found.tolist() == [1.5, 3.0, 4.5]  # the ends have two values
