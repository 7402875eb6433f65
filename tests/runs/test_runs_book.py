"""The whole build on tiny books: what runs again, what is rendered again, what a failure leaves."""

from __future__ import annotations

import json
from pathlib import Path

import nbformat
import pytest
from tiny_books import TINY, make_project

from trustlib.runs import ExecutionFailed, ProjectError, RenderingFailed
from trustlib.runs.book import build_book

DRAW = """
import base64
from IPython.display import display
pixel = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
figure = {"name": "fig-dot", "caption": "One dot.", "alt": "A single grey dot."}
display({"image/png": pixel}, raw=True, metadata={"trustlib": {"figure": figure}})
display({"text/html": "Figure" + ": one dot."}, raw=True, metadata={"trustlib": {"caption_for": "fig-dot"}})
"""
FIRST = [*TINY, ("code", DRAW.strip()), ("markdown", "The dot is in {numref}`fig-dot`.")]


pytestmark = pytest.mark.notebook


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A book of two chapters, built once; tests change it and build again, each for its own chapter."""
    project = make_project(tmp_path_factory.mktemp("book"), {"first": FIRST, "second": TINY})
    config = project.root / "_config.yml"
    config.write_text(config.read_text() + "sphinx:\n  recursive_update: true\n  config: {numfig: true}\n")
    (project.root / "notebooks/profiles/cpu.yml").write_text("first: {seed: 50}\n")
    return project, build_book(project)


def states(book) -> dict[str, str]:
    return {chapter.name: chapter.state for chapter in book.chapters}


def edit(project, name: str, cell: int, old: str, new: str) -> None:
    path = project.root / "notebooks" / f"{name}.ipynb"
    notebook = nbformat.read(path, as_version=4)
    assert old in notebook.cells[cell].source
    notebook.cells[cell].source = notebook.cells[cell].source.replace(old, new)
    nbformat.write(notebook, path)


def page(book, name: str) -> str:
    return (book.html.parent / "notebooks" / f"{name}.html").read_text()


def test_everything_is_executed_rendered_and_reported(built):
    project, book = built
    assert states(book) == {"first": "executed", "second": "executed"}
    assert book.rendered
    html = page(book, "first")
    assert "6 paper" in html
    assert 'alt="A single grey dot."' in html
    assert "Fig. 1" in html  # numbered by Sphinx, and the sentence refers to the number
    assert "Figure: one dot." not in html  # the caption of the notebook is replaced by the page's own
    assert "<summary>Profile quick" in html
    assert list((book.html.parent / "_downloads").rglob("first.json"))
    written = json.loads((project.build / "report.json").read_text())
    assert [row["state"] for row in written["notebooks"]] == ["executed", "executed"]
    source = nbformat.read(project.notebook("first"), as_version=4)
    assert all(not cell.get("outputs") for cell in source.cells)  # the repository holds no outputs


def test_an_unchanged_book_is_left_alone(built):
    project, _ = built
    build_book(project)
    said = []
    again = build_book(project, say=said.append)
    assert states(again) == {"first": "stored", "second": "stored"}
    assert not again.rendered
    assert said == []


def test_prose_is_rendered_again_without_running(built):
    project, _ = built
    edit(project, "second", 0, "Some prose.", "Corrected prose.")
    again = build_book(project)
    assert states(again) == {"first": "stored", "second": "stored"}
    assert again.rendered
    assert "Corrected prose." in page(again, "second")
    assert "6 paper" in page(again, "second")


def test_a_room_runs_its_own_chapter_again(built):
    project, _ = built
    build_book(project)
    (project.library / "second/method.py").write_text("x = 3\n")
    assert states(build_book(project)) == {"first": "stored", "second": "executed"}


def test_force_runs_one_chapter_although_nothing_changed(built):
    project, _ = built
    build_book(project)
    assert states(build_book(project, force="first")) == {"first": "executed", "second": "stored"}


def test_only_runs_one_chapter_and_marks_the_others(built):
    project, _ = built
    build_book(project)
    edit(project, "first", 3, "seed * 2", "seed * 3")
    edit(project, "second", 3, "seed * 2", "seed * 4")
    part = build_book(project, only="first", record=True)
    assert states(part) == {"first": "executed", "second": "stale"}
    assert "9 paper" in page(part, "first")
    assert "has changed since" in page(part, "second")
    assert "6 paper" in page(part, "second")
    assert [path.relative_to(project.root).as_posix() for path in part.results] == [
        "book/results/quick/first.json"
    ]
    whole = build_book(project)
    assert "has changed since" not in page(whole, "second")
    assert "12 paper" in page(whole, "second")


def test_a_profile_fills_in_its_values(built):
    project, _ = built
    with pytest.raises(ProjectError, match="'cpu' says nothing about 'second'"):
        build_book(project, profile="cpu")
    part = build_book(project, profile="cpu", only="first")
    assert part.chapters[0].record["parameters"]["seed"] == 50
    assert "injected-parameters" in page(part, "first") or "Parameters" in page(part, "first")


def test_wrong_names_are_refused_before_anything_runs(built):
    project, _ = built
    with pytest.raises(ProjectError, match="Did you mean 'first'"):
        build_book(project, only="frist")
    with pytest.raises(ProjectError, match="contradict"):
        build_book(project, only="first", force="second")


def test_a_warning_fails_and_is_repeated_until_it_is_gone(built):
    """Sphinx alone would warn once and be silent about a page that it does not read again."""
    project, _ = built
    before = build_book(project)
    published = page(before, "second")
    edit(project, "second", 0, "prose.", "prose with {numref}`fig-nowhere`.")
    for _ in range(2):
        with pytest.raises(RenderingFailed, match=r"notebooks/second\.ipynb.*fig-nowhere"):
            build_book(project)
    assert page(before, "second") == published
    edit(project, "second", 0, "prose with {numref}`fig-nowhere`.", "prose.")
    build_book(project)


def test_one_failing_notebook_does_not_stop_the_others(project):
    edit(project, "first", 3, "print(seed * 2, bounds)", "1 / (seed - 3)")
    with pytest.raises(
        ExecutionFailed, match=r"(?s)first stopped in cell 4.*1 of 2 notebooks failed, 1 finished"
    ):
        build_book(project)
    assert (project.build / "failed/first.ipynb").is_file()
    assert not (project.build / "html").exists()
    kept = [
        json.loads(path.read_text())["notebook"] for path in project.build.glob("executions/*/record.json")
    ]
    assert kept == ["second"]
    rows = json.loads((project.build / "report.json").read_text())["notebooks"]
    assert [row["state"] for row in rows] == ["failed", "executed"]
    assert "division by zero" in rows[0]["message"]


CLAIM = {
    "id": "first-1",
    "paper": "first",
    "origin": "ours",
    "statement": "It holds.",
    "source": "here",
    "reported": None,
    "status": "tested",
    "profiles": ["quick"],
}


def test_a_claim_that_no_notebook_checks_fails_the_build(project):
    part = {
        "name": "value",
        "statistic": "the value",
        "unit": "seeds",
        "interval": {"method": "t", "level": 0.95},
        "rule": {"above": 0},
    }
    control = {"name": "null", "statement": "nothing there", "part": "value", "must": "fail"}
    claims = {"claims": [{**CLAIM, "parts": [part], "controls": [control]}]}
    (project.root / "book/claims.yml").write_text(json.dumps(claims))
    with pytest.raises(RenderingFailed, match="first-1 is listed in"):
        build_book(project)
    assert not Path(project.build / "html").exists()


def test_a_broken_claims_file_is_refused_before_anything_runs(project):
    (project.root / "book/claims.yml").write_text("claims: [{id: first-1}]")
    with pytest.raises(ProjectError, match=r"book/claims\.yml.*first-1.*is missing"):
        build_book(project)
    assert not project.build.exists()
