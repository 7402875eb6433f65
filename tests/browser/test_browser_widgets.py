"""The chain from a notebook's widgets to a page without kernel and network, on a book of one page."""

from __future__ import annotations

import shutil
import subprocess
import sys

import pytest

pytestmark = pytest.mark.browser

CODE = r"""
import matplotlib.pyplot as plt
from trustlib.plotting import Slider, frames

def draw(a, b):
    figure, axes = plt.subplots(figsize=(3, 2), layout="constrained")
    axes.plot([0, a, b])
    axes.set(xlabel="x", ylabel="y", ylim=(0, 9))
    plt.close(figure)
    return figure

frames(
    {"a": Slider("first \\(\\lambda\\)", [1, 2, 3]), "b": Slider("second", [4, 5])},
    draw, name="view", caption="Two lines.", alt="A line through two values.",
)
"""
CONFIG = """
title: One page
only_build_toc_files: true
execute: {execute_notebooks: "off"}
parse: {myst_enable_extensions: [dollarmath]}
sphinx:
  local_extensions: {one: book/_ext}
  config: {html_static_path: [book/_static], html_context: {default_mode: auto}}
"""
EXTENSION = """
from pathlib import Path
import vendored

def local(app, config):
    config.nb_ipywidgets_js = vendored.widget_js_config(Path(app.confdir) / "book/_static")
    config.mathjax_path = vendored.mathjax_path(Path(app.confdir) / "book/_static")

def setup(app):
    app.connect("config-inited", local, priority=900)
    app.connect("html-page-context", vendored.leave_out_thebe, priority=900)
"""


@pytest.fixture(scope="module")
def one_page(root, tmp_path_factory):
    """A rendered book of one notebook with two sliders and mathematics."""
    import nbformat
    from nbclient import NotebookClient

    if not (root / "book/_static/vendor/.complete").exists():
        pytest.skip("browser: the assets are not here; run scripts/vendor_assets.py")
    folder = tmp_path_factory.mktemp("book")
    shutil.copytree(root / "book/_static", folder / "book/_static")
    shutil.copytree(root / "book/_ext", folder / "book/_ext", ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "book/_ext/one.py").write_text(EXTENSION)
    (folder / "_config.yml").write_text(CONFIG)
    (folder / "_toc.yml").write_text("format: jb-book\nroot: page\n")
    text = nbformat.v4.new_markdown_cell(
        "# Page\n\nWith $e^{-x}$ and\n\n$$\\boldsymbol{x} \\in \\mathbb{R}^d.$$"
    )
    notebook = nbformat.v4.new_notebook(cells=[text, nbformat.v4.new_code_cell(CODE)])
    NotebookClient(notebook, kernel_name="python3").execute()
    nbformat.write(notebook, folder / "page.ipynb")
    built = subprocess.run(
        [sys.executable, "-c", "from jupyter_book.cli.main import main; main()", "build", str(folder)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert built.returncode == 0, built.stdout[-2000:] + built.stderr[-2000:]
    return folder / "_build/html/page.html"


def test_two_sliders_reach_every_picture(one_page, visit):
    page = visit.open(one_page)
    view = page.locator(".trustlib-frames")
    first, second = view.locator(".noUi-handle").all()
    seen = set()
    for _ in range(2):
        seen |= set(visit.press(view, first, "ArrowRight")[0] + visit.pictures(view))
        seen |= set(visit.press(view, second, "ArrowRight")[0] + visit.pictures(view))
    seen |= set(visit.press(view, second, "ArrowRight")[0] + visit.pictures(view))
    for _ in range(3):
        seen |= set(visit.press(view, first, "ArrowRight")[0] + visit.pictures(view))
    assert len(seen) == 6  # 3 positions times 2
    assert (visit.errors, visit.failed) == ([], [])


def test_mathematics_in_text_and_in_labels_of_sliders(one_page, visit):
    page = visit.open(one_page)
    page.locator(".widget-label mjx-container").first.wait_for(state="visible")
    assert page.locator("p mjx-container, div.math mjx-container").count() == 2
    assert page.locator("mjx-merror").count() == 0
    names = page.locator(".noUi-handle").evaluate_all("all => all.map(h => h.getAttribute('aria-label'))")
    assert names == [
        "first λ",
        "second",
    ]  # as a screen reader says them: the mathematics is read from its MathML
    assert (visit.errors, visit.failed) == ([], [])


def test_a_screen_reader_hears_values_and_the_new_picture(one_page, visit):
    page = visit.open(one_page)
    view = page.locator(".trustlib-frames")
    first, second = view.locator(".noUi-handle").all()
    assert second.get_attribute("aria-valuetext") == "4"
    visit.press(view, second, "ArrowRight")
    assert second.get_attribute("aria-valuetext") == "5"  # the value, not position 1
    assert first.get_attribute("aria-valuetext") == "1"
    picture = page.locator(".trustlib-frames [aria-live=polite] img")
    assert picture.get_attribute("alt").endswith(": 1, second: 5.")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") != "widget-readout"
    assert (visit.errors, visit.failed) == ([], [])


def test_blocked_network_is_seen(one_page, visit):
    page = visit.open(one_page)
    page.evaluate("fetch('https://far.example/x.js').catch(() => 1)")
    page.evaluate("console.error('planted')")
    assert visit.failed == ["https://far.example/x.js"]
    assert "planted" in visit.errors
