"""Figures and sliders through papermill and the staging of the book: nothing is lost on the way to a page."""

from __future__ import annotations

import base64
import re

import nbformat
import papermill
import pytest

from trustlib.runs.staging import figures_to_cells

CODE = """
import matplotlib.pyplot as plt
from trustlib import plotting

plotting.use_theme()

def draw(a, b):
    figure, axes = plt.subplots(figsize=(3, 2))
    axes.plot([0, a, b])
    axes.set(xlabel="Round", ylabel="Error")
    return figure

plotting.show(draw(1, 2), name="fig-one", caption="One line.", alt="A line that rises.")
sliders = {"a": plotting.Slider("First", [1, 2, 3]), "b": plotting.Slider("Second", [4, 5], start=5)}
plotting.frames(sliders, draw, name="view-two", caption="Two lines.", alt="A line through two values.")
"""
STATE = "application/vnd.jupyter.widget-state+json"
VIEW = "application/vnd.jupyter.widget-view+json"


@pytest.fixture(scope="module")
def executed(tmp_path_factory):
    """A notebook with a figure and a view, run by papermill."""
    folder = tmp_path_factory.mktemp("notebook")
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(CODE)])
    notebook.metadata.kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(notebook, folder / "in.ipynb")
    papermill.execute_notebook(
        folder / "in.ipynb", folder / "out.ipynb", progress_bar=False, log_output=False
    )
    return nbformat.read(folder / "out.ipynb", as_version=4)


def test_each_figure_is_shown_once(executed):
    kinds = [sorted(output.data) for output in executed.cells[0].outputs]
    assert kinds == [
        ["image/png", "text/plain"],
        ["text/html", "text/plain"],
        [VIEW, "image/png", "text/plain"],
        ["text/html", "text/plain"],
    ]
    for output in executed.cells[0].outputs[::2]:
        assert base64.b64decode(output.data["image/png"])[:4] == b"\x89PNG"


def test_the_state_of_the_widgets_survives_papermill(executed):
    state = executed.metadata["widgets"][STATE]["state"]
    assert executed.cells[0].outputs[2].data[VIEW]["model_id"] in state
    pictures = [
        entry["state"]["value"]
        for entry in state.values()
        if entry["model_name"] == "HTMLModel" and "<img" in entry["state"]["value"]
    ]
    alts = {re.search(r'alt="([^"]*)"', picture).group(1) for picture in pictures}
    assert alts == {f"A line through two values. First: {a}, Second: {b}." for a in (1, 2, 3) for b in (4, 5)}
    links = [entry for entry in state.values() if entry["model_name"] == "DirectionalLinkModel"]
    assert len(links) == 1 + 3  # one stack of the first slider, three of the second
    for entry in links:  # what the browser needs to move the picture
        source, target = entry["state"]["source"], entry["state"]["target"]
        assert source[1] == "index"
        assert target[1] == "selected_index"
        assert {source[0], target[0]} <= {f"IPY_MODEL_{key}" for key in state}


def test_pictures_share_one_layout_and_one_style(executed):
    kinds = [entry["model_name"] for entry in executed.metadata["widgets"][STATE]["state"].values()]
    # layouts: the box, the hidden style sheet, two sliders, one for all stacks and pictures
    assert kinds.count("LayoutModel") == 5
    assert kinds.count("HTMLStyleModel") == 1


def test_staging_makes_numbered_figures_of_both(executed):
    cells = figures_to_cells(executed.cells[0])
    metadata = [cell.metadata["mystnb"] for cell in cells]
    assert [entry["figure"] for entry in metadata] == [
        {"name": "fig-one", "caption": "One line."},
        {"name": "view-two", "caption": "Two lines."},
    ]
    assert metadata[0]["image"] == {"alt": "A line that rises."}
    assert metadata[1]["image"] == {"alt": "A line through two values. First: 1, Second: 5."}
    assert [len(cell.outputs) for cell in cells] == [1, 1]  # captions are those of the figures now
