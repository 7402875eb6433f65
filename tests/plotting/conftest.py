"""A clean slate for every test: matplotlib's own settings, no open figures, no views from before."""

from __future__ import annotations

import matplotlib
import pytest


@pytest.fixture(autouse=True)
def clean():
    """Settings and figures of a test end with it."""
    import matplotlib.pyplot as plt

    from trustlib.plotting import player

    with matplotlib.rc_context():
        yield
    plt.close("all")
    for box in list(player._BOXES.values()):
        box.dispose()
    player._BOXES.clear()


@pytest.fixture
def shown(monkeypatch):
    """Pairs (data, metadata) of everything that is displayed."""
    outputs = []
    monkeypatch.setattr("IPython.display.display", lambda output: outputs.append(output._repr_mimebundle_()))
    return outputs


@pytest.fixture
def plain():
    """A function that makes a small figure that any page takes."""
    from matplotlib.figure import Figure

    def make(values=(1, 2), **settings):
        figure = Figure(figsize=(3, 2), layout="constrained")
        axes = figure.subplots()
        axes.plot(values)
        axes.set(**{"xlabel": "Round", "ylabel": "Error (fraction)", **settings})
        return figure

    return make
