"""The store: what makes an execution current, and that only whole ones are in it. No kernel runs here."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
from pathlib import Path

import nbformat
import pytest

from trustlib import data
from trustlib.runs import Execution, Project
from trustlib.runs.book import data_hash
from trustlib.runs.provenance import to_json
from trustlib.runs.store import Store, exclusive, known_key, library_files


def key(project: Project, name: str = "first", **overrides) -> str:
    return known_key(project, name, project.settings(name, overrides=overrides))


def edit(project: Project, name: str, change) -> None:
    path = project.root / "notebooks" / f"{name}.ipynb"
    notebook = nbformat.read(path, as_version=4)
    change(notebook.cells)
    nbformat.write(notebook, path)


def code(cells) -> None:
    cells[3].source += "\n"


def tag(cells) -> None:
    cells[3].metadata["tags"] = ["hide-input"]


def default(cells) -> None:
    cells[1].source = cells[1].source.replace("seed = 3", "seed = 4")


@pytest.mark.parametrize("change", [code, tag, default])
def test_key_changes_with_code_cells(project, change):
    before = key(project)
    edit(project, "first", change)
    assert key(project) != before


def test_key_ignores_prose_outputs_and_execution_counts(project):
    def prose(cells):
        cells[0].source = "# Another title"
        cells[3].outputs = [nbformat.v4.new_output("stream", text="6 paper\n")]
        cells[3].execution_count = 9

    before = key(project)
    edit(project, "first", prose)
    assert key(project) == before


@pytest.mark.parametrize(
    ("file", "first_changes", "second_changes"),
    [
        ("library/__init__.py", True, True),
        ("library/data/tables.py", True, True),  # the ground floor is under every chapter
        ("library/first/method.py", True, False),  # a room is under its own
        ("library/second/method.py", False, True),
        ("library/runs/book.py", False, False),  # the top floor shapes no number
        ("library/data/card.json", True, True),
        ("library/data/__pycache__/tables.pyc", False, False),
        ("constraints.txt", True, True),
        ("book/intro.md", False, False),
    ],
)
def test_key_changes_with_what_lies_under_the_chapter(project, file, first_changes, second_changes):
    before = key(project), key(project, "second")
    (project.root / file).parent.mkdir(exist_ok=True)
    (project.root / file).write_text("x = 2\n")
    assert (key(project) != before[0], key(project, "second") != before[1]) == (first_changes, second_changes)


def test_key_changes_with_the_chapters_own_rules_only(project):
    rules = [{"id": "first-1", "paper": "first"}, {"id": "second-1", "paper": "second"}]
    path = project.root / "book/claims.yml"
    path.write_text(json.dumps({"claims": rules}))
    before = key(project), key(project, "second")
    rules[0]["rule"] = "another"
    path.write_text(json.dumps({"claims": rules}))
    assert key(project) != before[0]
    assert key(project, "second") == before[1]


def test_key_changes_with_values_device_and_python(project, monkeypatch):
    keys = {key(project), key(project, seed=4)}
    monkeypatch.setattr("trustlib.runs.store.gpus", lambda: [{"name": "G", "driver": "1"}])
    keys.add(key(project))
    monkeypatch.setattr("platform.python_version_tuple", lambda: ("3", "99", "0"))
    keys.add(key(project))
    assert len(keys) == 4


def test_library_files_of_the_whole_library_include_the_top_floor(project):
    assert library_files(project) == [
        "__init__.py", "data/tables.py", "first/method.py", "runs/book.py", "second/method.py",
    ]  # fmt: skip


def put(folder: Path, known: str, *, date: str, data=(), name: str = "first", profile: str = "quick") -> Path:
    """A stored execution, made by hand."""
    entry = folder / f"{known}-{date}"
    entry.mkdir(parents=True)
    (entry / f"{name}.ipynb").write_text("{}")
    record = {"notebook": name, "known_key": known, "date": date, "profile": profile}
    record["data"] = [{"name": n, "sha256": digest} for n, digest in data]
    (entry / "record.json").write_text(to_json(record))
    return entry


def test_an_execution_is_current_while_its_data_are(tmp_path):
    hashes = {"insurance": "aa"}
    store = Store(tmp_path, hashes.get)
    put(tmp_path, "k", date="1", data=[("insurance", "aa")])
    assert store.current("first", "k").record["date"] == "1"
    assert store.current("first", "other") is None
    assert store.current("second", "k") is None
    hashes["insurance"] = "bb"
    assert store.current("first", "k") is None
    hashes.clear()
    assert store.current("first", "k") is None


def test_the_newest_execution_counts(tmp_path):
    store = Store(tmp_path, {}.get)
    put(tmp_path, "k", date="2")
    put(tmp_path, "k", date="3")
    put(tmp_path, "l", date="4", profile="cpu")
    assert store.current("first", "k").record["date"] == "3"
    assert store.latest("first", "quick").record["date"] == "3"
    assert store.latest("first", "gpu") is None


def test_half_written_entries_are_neither_seen_nor_kept(tmp_path):
    store = Store(tmp_path, {}.get)
    whole = put(tmp_path, "k", date="1")
    shutil.copytree(whole, tmp_path / ".first.123.tmp")
    (tmp_path / ".first.123.tmp" / "record.json").write_text(whole.joinpath("record.json").read_text()[:20])
    assert store.current("first", "k").path.parent == whole
    store.clean()
    assert [path.name for path in tmp_path.iterdir()] == ["k-1"]


def test_old_executions_are_pruned_per_notebook_and_profile(tmp_path):
    store = Store(tmp_path, {}.get)
    for number in range(6):
        put(tmp_path, f"k{number}", date=str(number))
    put(tmp_path, "m", date="0", profile="cpu")
    store._prune("first", "quick")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["k2-2", "k3-3", "k4-4", "k5-5", "m-0"]


def test_an_execution_whose_sources_changed_meanwhile_never_counts(project, monkeypatch):
    def run(project, name, settings, *, out, kept):
        out.parent.mkdir(parents=True)
        out.write_text("{}")
        (project.library / "first/method.py").write_text(f"x = {next(values)}\n")
        return Execution(out, {"notebook": name, "date": "1", "profile": "quick", "data": []})

    monkeypatch.setattr("trustlib.runs.store.run_notebook", run)
    store = Store(project.root / "executions", {}.get)
    settings = project.settings("first")

    values = iter([5])
    store.add(project, "first", settings, key(project))
    assert store.current("first", key(project)) is None
    assert store.latest("first", "quick") is not None

    values = iter([5])  # the same text again: nothing changed
    store.add(project, "first", settings, key(project))
    assert store.current("first", key(project)) is not None


def _hold(folder: Path, held, release) -> None:
    with exclusive(folder, waiting=lambda message: None):
        held.set()
        release.wait(30)


def test_a_second_build_waits_and_says_for_whom(tmp_path):
    context = multiprocessing.get_context("spawn")
    held, release = context.Event(), context.Event()
    holder = context.Process(target=_hold, args=(tmp_path, held, release))
    holder.start()
    assert held.wait(30)
    messages = []

    def waiting(message: str) -> None:
        messages.append(message)
        release.set()

    with exclusive(tmp_path, waiting=waiting):
        pass
    holder.join()
    assert len(messages) == 1
    assert f"process {holder.pid}" in messages[0]


def test_the_lock_of_a_killed_build_is_free(tmp_path):
    context = multiprocessing.get_context("spawn")
    held, release = context.Event(), context.Event()
    holder = context.Process(target=_hold, args=(tmp_path, held, release))
    holder.start()
    assert held.wait(30)
    holder.kill()
    holder.join()
    messages = []
    with exclusive(tmp_path, waiting=messages.append):
        assert (tmp_path / ".lock").read_text() == str(os.getpid())
    assert messages == []


def test_the_registry_tells_which_data_a_stored_execution_may_have_used():
    assert data_hash("insurance") == data.known_sha256("insurance")
    assert data_hash("insurance_like") == data.known_sha256("insurance_like")
    assert data_hash("registered in some notebook") is None
