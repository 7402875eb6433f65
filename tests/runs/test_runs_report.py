"""Rows, reports, result files and the footer, from records made by hand."""

from __future__ import annotations

import copy
import json

import nbformat
import pytest
from nbformat.v4 import new_output
from tiny_books import RECORD, TINY, make_notebook

from trustlib.runs.footer import attach_record, footer_text
from trustlib.runs.provenance import git_state, slowest_cells, write_atomically
from trustlib.runs.report import Chapter, coverage_problems, keep_results, quoted_values, report


def chapter(state="stored", claims=(), **changes) -> Chapter:
    return Chapter("first", state, make_notebook(TINY), {**RECORD, **changes}, list(claims))


def test_a_row_counts_verdicts_and_names_the_device():
    gpu = {"class": "cuda", "gpus": ["H100"], "cuda": "13", "processor": "AMD"}
    claims = [{"verdict": "supported"}, {"verdict": "inconclusive"}, {"verdict": "supported"}]
    row = chapter(claims=claims, git={"commit": "abc", "dirty": True}, device=gpu).row()
    assert row["verdicts"] == {"supported": 2, "inconclusive": 1}
    assert (row["title"], row["device"], row["commit"], row["dirty"]) == (
        "A tiny chapter",
        "H100",
        "abc",
        True,
    )
    assert (row["seconds"], row["peak_memory_bytes"]) == (1.25, 2_000_000_000)
    assert chapter().row()["device"] == "AMD"


def test_the_report_for_pages_is_the_same_for_fresh_and_stored_executions():
    fresh, stored = chapter("executed"), chapter("stored")
    assert report("quick", [fresh], states=False) == report("quick", [stored], states=False)
    assert report("quick", [fresh], states=True) != report("quick", [stored], states=True)


def test_the_report_for_pages_leaves_out_what_does_not_hold():
    missing, stale = Chapter("second", "missing"), chapter("stale", [{"verdict": "supported"}])
    pages = report("quick", [stale, missing], states=False)
    assert [(row["name"], row["state"]) for row in pages["notebooks"]] == [("first", "stale")]
    assert pages["claims"] == []
    assert [row["state"] for row in report("quick", [stale, missing], states=True)["notebooks"]] == [
        "stale", "missing",
    ]  # fmt: skip


def test_results_keep_claims_record_and_quoted_numbers(project):
    notebook = make_notebook(TINY)
    glued = {"scrapbook": {"name": "excess", "mime_prefix": "application/papermill.record/"}}
    data = {"application/papermill.record/text/plain": "'0.5'"}
    notebook.cells[3].outputs = [new_output("display_data", data, metadata=glued)]
    path = keep_results(project, Chapter("first", "stored", notebook, RECORD))
    content = json.loads(path.read_text())
    assert path == project.root / "book/results/quick/first.json"
    assert content["claims"] == []
    assert content["run"]["quoted"] == {"excess": "0.5"}
    assert content["run"]["record"]["parameters"] == {"seed": 3}
    assert content["run"]["seconds"] == 1.25


def test_glue_that_is_shown_in_place_is_quoted_too():
    notebook = make_notebook(TINY)
    shown = new_output(
        "display_data", {"text/plain": "0.25"}, metadata={"scrapbook": {"name": "a", "mime_prefix": ""}}
    )
    notebook.cells[3].outputs = [shown, new_output("stream", text="other")]
    assert quoted_values(notebook) == {"a": "0.25"}


CLAIM = {
    "id": "first-1",
    "paper": "first",
    "origin": "ours",
    "statement": "It holds.",
    "source": "here",
    "reported": None,
    "status": "not_testable",
    "reason": "no data",
}


def test_coverage_is_asked_only_of_executions_that_hold(project):
    (project.root / "book/claims.yml").write_text(json.dumps({"claims": [CLAIM]}))
    unknown = {"id": "first-9", "paper": "first", "rules": "x", "verdict": "supported"}
    (problem,) = coverage_problems(project, "quick", [chapter(claims=[unknown])])
    assert "first-9 is checked in first" in problem
    assert coverage_problems(project, "quick", [chapter("stale", [unknown])]) == []


def test_without_a_claims_file_nothing_is_missing(project):
    assert coverage_problems(project, "quick", [chapter()]) == []


def test_the_footer_stays_a_table_and_is_replaced_not_repeated():
    notebook = make_notebook(TINY)
    attach_record(notebook, RECORD)
    attach_record(notebook, RECORD)
    nbformat.validate(notebook)
    assert len(notebook.cells) == len(TINY) + 1
    rows = [line for line in footer_text(RECORD).splitlines() if line.startswith("|")]
    assert all(row.replace("\\|", "").count("|") == 3 for row in rows)  # the bar in a cell's code is escaped
    text = footer_text(RECORD)
    assert "insurance (SHA-256 `abababababab…`)" in text
    assert "outside git" in text


def test_the_footer_tells_commit_gpu_and_error():
    record = copy.deepcopy(RECORD)
    record["git"] = {"commit": "0123456789abcdef", "dirty": True}
    record["device"] = {
        "class": "cuda",
        "gpus": ["H100"],
        "cuda": "13.0",
        "driver": "580",
        "processor": "AMD",
    }
    record["memory"]["gpu_peak_bytes"] = 3_000_000_000
    record["error"] = {"cell": 4, "name": "ValueError", "value": "bad"}
    text = footer_text(record)
    for part in (
        "commit 0123456789 with local changes",
        "H100 (CUDA 13.0, driver 580)",
        "GPU 3.00 GB",
        "cell 4: ",
    ):
        assert part in text


def test_slowest_cells_are_sorted_and_only_code():
    notebook = make_notebook(TINY)
    for cell, seconds in zip(notebook.cells, (9.0, 0.1, 0.3, 0.2), strict=True):
        cell.metadata["papermill"] = {"duration": seconds}
    assert [(c["cell"], c["seconds"]) for c in slowest_cells(notebook, n=2)] == [(3, 0.3), (4, 0.2)]


def test_git_state_outside_a_repository_is_none(tmp_path):
    assert git_state(tmp_path) is None


def test_a_file_that_cannot_be_written_whole_leaves_the_old_one(tmp_path):
    path = tmp_path / "report.json"
    write_atomically(path, "old")
    with pytest.raises(UnicodeEncodeError):
        write_atomically(path, "\ud800")
    assert path.read_text() == "old"
