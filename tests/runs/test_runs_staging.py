"""Staging: outputs over the present text, figures for MyST-NB, files touched only where they differ."""

from __future__ import annotations

import copy
import os

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_output
from tiny_books import RECORD, TINY, make_notebook

from trustlib.runs.footer import attach_record
from trustlib.runs.staging import (
    book_sources,
    figures_to_cells,
    overlay,
    stale_note,
    synchronise,
    without_generated,
)


def executed_tiny(*, injected: bool = True):
    """What an execution of the tiny notebook leaves."""
    notebook = make_notebook(TINY)
    notebook.cells[3].outputs = [new_output("stream", text="6 \x1b[31mpaper\x1b[0m\n")]
    notebook.cells[3].execution_count = 4
    if injected:
        cell = new_code_cell("# Parameters\nseed = 3", metadata={"tags": ["injected-parameters"]})
        notebook.cells.insert(2, cell)
    attach_record(notebook, RECORD)
    return notebook


def test_overlay_keeps_the_present_prose_and_takes_the_outputs():
    source = make_notebook(TINY)
    source.cells[0].source = "# Corrected title"
    before = copy.deepcopy(source)
    page = overlay(source, executed_tiny())
    nbformat.validate(page)
    assert source == before
    assert [cell.cell_type for cell in page.cells] == ["markdown", "code", "code", "code", "code", "markdown"]
    assert page.cells[0].source == "# Corrected title"
    assert page.cells[2].metadata["tags"] == ["injected-parameters", "hide-input"]
    assert page.cells[4].outputs[0].text == "6 paper\n"
    assert page.cells[5].source.startswith("## Provenance")
    assert page.metadata["trustlib"]["record"] == RECORD


def test_overlay_refuses_the_execution_of_other_code():
    source = make_notebook(TINY)
    source.cells[3].source = "print(seed * 3)"
    with pytest.raises(ValueError, match=r"differs at\nprint\(seed \* 3\)"):
        overlay(source, executed_tiny())
    with pytest.raises(ValueError, match="does not belong"):
        overlay(make_notebook([*TINY, ("code", "more")]), executed_tiny())


def test_a_stale_page_shows_the_text_that_was_run_with_a_warning():
    old = executed_tiny()
    page = stale_note(overlay(without_generated(old), old), "Of yesterday.")
    nbformat.validate(page)
    assert page.cells[1].source == "```{warning}\nOf yesterday.\n```"
    assert [c.id for c in page.cells if c.id == "provenance"] == ["provenance"]
    assert sum("injected-parameters" in c.metadata.get("tags", []) for c in page.cells) == 1


def test_memory_addresses_leave_the_page():
    executed = executed_tiny(injected=False)
    executed.cells[3].outputs = [new_output("display_data", {"text/plain": "<Thing at 0x7f00aB12>"})]
    assert overlay(make_notebook(TINY), executed).cells[3].outputs[0].data["text/plain"] == "<Thing>"


def figure(name: str):
    mark = {"trustlib": {"figure": {"name": name, "caption": f"Caption of {name}.", "alt": f"Alt of {name}"}}}
    return new_output("display_data", {"image/png": "AA==", "text/plain": "<Figure>"}, metadata=mark)


def caption(name: str):
    return new_output("display_data", {"text/html": "..."}, metadata={"trustlib": {"caption_for": name}})


def text(content: str):
    return new_output("stream", text=content)


def test_one_figure_becomes_metadata_of_its_cell():
    cell = new_code_cell("draw()", metadata={"tags": ["hide-input"], "mystnb": {"image": {"width": "5in"}}})
    cell.outputs = [figure("fig-a"), caption("fig-a")]
    (page,) = figures_to_cells(cell)
    assert page.source == "draw()"
    assert len(page.outputs) == 1
    assert page.metadata["mystnb"] == {
        "image": {"alt": "Alt of fig-a"},
        "figure": {"name": "fig-a", "caption": "Caption of fig-a."},
    }


def test_figures_and_other_outputs_are_parted():
    cell = new_code_cell("draw()", id="draw", metadata={"tags": ["hide-cell", "parameters"]})
    cell.outputs = [text("a"), figure("fig-a"), caption("fig-a"), figure("fig-b"), text("b"), text("c")]
    cells = figures_to_cells(cell)
    assert [[o.output_type for o in c.outputs] for c in cells] == [
        ["stream"], ["display_data"], ["display_data"], ["stream", "stream"],
    ]  # fmt: skip
    assert [c.metadata.get("mystnb", {}).get("figure", {}).get("name") for c in cells] == [
        None, "fig-a", "fig-b", None,
    ]  # fmt: skip
    assert [c.id for c in cells] == ["draw", "draw-1", "draw-2", "draw-3"]
    assert cells[1].source == ""
    assert cells[1].metadata["tags"] == ["hide-output", "remove-input"]


def test_cells_without_figures_stay_as_they_are():
    cell = new_code_cell("x")
    cell.outputs = [text("a"), new_output("display_data", {"text/html": "b"})]
    before = copy.deepcopy(cell)
    assert figures_to_cells(cell) == [before]
    prose = nbformat.v4.new_markdown_cell("text")
    assert figures_to_cells(prose) == [prose]


def test_synchronise_touches_only_what_differs(tmp_path):
    source = tmp_path / "page.md"
    source.write_text("one")
    stage = tmp_path / "stage"
    first = synchronise(stage, {"a/page.md": source, "b.md": "two", "c/d/e.md": "gone soon"})
    for path in stage.rglob("*"):
        os.utime(path, (1, 1))
    second = synchronise(stage, {"a/page.md": source, "b.md": "changed"})
    assert first != second
    assert (stage / "a/page.md").stat().st_mtime == 1
    assert (stage / "b.md").stat().st_mtime != 1
    assert (stage / "b.md").read_text() == "changed"
    assert not (stage / "c").exists()
    assert synchronise(stage, {"b.md": "changed", "a/page.md": source}) == second


def test_book_sources_leave_out_what_is_made_or_hidden(project):
    for file in (
        "README.md",
        "secret.txt",
        "book/_ext/__pycache__/x.pyc",
        "book/.hidden",
        "book/_generated/r.json",
    ):
        path = project.root / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")
    (project.root / "book/results/cpu").mkdir(parents=True)
    (project.root / "book/results/cpu/first.json").write_text("{}")
    assert sorted(book_sources(project)) == [
        "README.md", "_config.yml", "_toc.yml", "book/intro.md", "book/results/cpu/first.json",
    ]  # fmt: skip
