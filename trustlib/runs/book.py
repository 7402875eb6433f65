"""Building the book: execute what changed, collect the claims, stage, render, report."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trustlib.runs.errors import ExecutionFailed, ProjectError, RenderingFailed
from trustlib.runs.execution import Execution
from trustlib.runs.project import QUICK, Project, Settings
from trustlib.runs.provenance import to_json, write_atomically
from trustlib.runs.rendering import Say, render
from trustlib.runs.report import Chapter, claims_book, coverage_problems, keep_results, report
from trustlib.runs.staging import (
    book_sources,
    notebook_text,
    overlay,
    stale_note,
    synchronise,
    without_generated,
)
from trustlib.runs.store import Store, exclusive, known_key

__all__ = ["Book", "build_book"]


@dataclass(frozen=True)
class Book:
    """A finished build.

    Args:
        html: the first page.
        chapters: what became of each notebook.
        rendered: False if the pages were up to date already.
        results: result files written because ``record`` was asked for.
    """

    html: Path
    chapters: list[Chapter]
    rendered: bool
    results: list[Path]


def build_book(
    project: Project,
    *,
    profile: str = QUICK,
    only: str | None = None,
    force: str | None = None,
    record: bool = False,
    say: Say = lambda message: None,
) -> Book:
    """Execute the notebooks that changed and render ``_build/html``.

    Args:
        project: the book.
        profile: values to run with.
        only: execute no other notebook; pages whose execution is out of date carry a warning and the
            rendering is not strict then.
        force: execute this notebook although nothing changed.
        record: keep claims and records of the executed chapters under ``book/results/<profile>/``.
        say: called with a line for people before each long step.

    Returns:
        The book. ``_build/report.json`` says the same.

    Raises:
        ProjectError, ParameterError: a name, profile, value or the claims file is wrong; nothing was run.
        ExecutionFailed: notebooks failed; all others were executed and are kept.
        RenderingFailed: claims and claims file disagree, or Jupyter Book refused a page.
    """
    settings = _settings(project, profile, only=only, force=force)
    claims_book(project)
    with exclusive(project.build, waiting=say) as lock:
        store = Store(project.build / "executions", data_hash)
        store.clean()
        chapters = [
            _chapter(
                project, store, name, chosen, forced=name == force, allowed=only in (None, name), say=say
            )
            for name, chosen in settings.items()
        ]
        write_atomically(project.build / "report.json", to_json(report(profile, chapters, states=True)))
        _refuse_failures(chapters)
        problems = coverage_problems(project, profile, chapters)
        if problems:
            raise RenderingFailed("Claims and notebooks disagree:\n  " + "\n  ".join(problems))
        kept = [c for c in chapters if record and only in (None, c.name)]
        results = [keep_results(project, chapter) for chapter in kept]
        strict = all(chapter.state in ("executed", "stored") for chapter in chapters)
        content = synchronise(project.build / "stage", staged_files(project, profile, chapters))
        rendered = render(project, project.build / "stage", content, strict=strict, lock=lock, say=say)
    return Book(project.build / "html" / "index.html", chapters, rendered, results)


def data_hash(name: str) -> str | None:
    """SHA-256 of a data set as far as the registry knows it now, None if it is registered no more."""
    from trustlib import data

    return data.known_sha256(name) if name in data.available() else None


def _settings(project: Project, profile: str, *, only: str | None, force: str | None) -> dict[str, Settings]:
    """Checked settings of all notebooks; those that are not asked for may lack a block in the profile."""
    for name in (only, force):
        if name is not None:
            project.notebook(name)
    if only and force and only != force:
        raise ProjectError(f"--only {only} and --force {force} contradict each other.")
    settings = {}
    for name in project.notebooks():
        try:
            settings[name] = project.settings(name, profile=profile)
        except ProjectError:
            if only in (None, name):
                raise
            settings[name] = project.settings(name)
    return settings


def _chapter(
    project: Project, store: Store, name: str, settings: Settings, *, forced: bool, allowed: bool, say: Say
) -> Chapter:
    """One notebook: its stored execution if that holds, else a new one, or an old one if it may not run."""
    known = known_key(project, name, settings)
    stored = None if forced else store.current(name, known)
    if stored:
        return _whole(name, "stored", stored)
    if not allowed:
        old = store.latest(name, settings.profile)
        return _whole(name, "stale", old) if old else Chapter(name, "missing")
    say(f"Executing {name} at {settings.profile} ...")
    try:
        return _whole(name, "executed", store.add(project, name, settings, known))
    except ExecutionFailed as failure:
        return Chapter(name, "failed", message=str(failure))


def _whole(name: str, state: Any, execution: Execution) -> Chapter:
    """A chapter with an executed notebook, and the claims in it."""
    import nbformat

    from trustlib import claims

    notebook = nbformat.read(execution.path, as_version=4)
    return Chapter(name, state, notebook, execution.record, claims.collect(notebook))


def _refuse_failures(chapters: list[Chapter]) -> None:
    """Raise if a notebook failed, with what each of them said."""
    failed = [chapter for chapter in chapters if chapter.state == "failed"]
    if failed:
        done = sum(chapter.state in ("executed", "stored") for chapter in chapters)
        raise ExecutionFailed(
            "\n".join(chapter.message for chapter in failed)
            + f"\n{len(failed)} of {len(chapters)} notebooks failed, {done} finished and are kept; "
            "the book was not rendered."
        )


def staged_files(project: Project, profile: str, chapters: list[Chapter]) -> dict[str, Path | str]:
    """Everything that Jupyter Book is given: path relative to the root -> file or text."""
    files: dict[str, Path | str] = dict(book_sources(project))
    files["book/_generated/report.json"] = to_json(report(profile, chapters, states=False))
    for chapter in chapters:
        files[f"notebooks/{chapter.name}.ipynb"] = notebook_text(_page(project, chapter))
        if chapter.record:
            files[f"book/_generated/records/{chapter.name}.json"] = to_json(chapter.record)
    return files


def _page(project: Project, chapter: Chapter) -> Any:
    """The notebook that is rendered for a chapter."""
    source = project.read(chapter.name)
    if chapter.record is None:
        return stale_note(source, "This chapter was not executed for this copy of the book.")
    if chapter.state == "stale":
        date = chapter.record["date"][:10]
        page = stale_note(
            overlay(without_generated(chapter.notebook), chapter.notebook),
            f"Text and results are those of {date}; the chapter or the library under it has changed since.",
        )
    else:
        page = overlay(source, chapter.notebook)
    page.cells[
        -1
    ].source += f"\n\n{{download}}`The whole record as JSON <../book/_generated/records/{chapter.name}.json>`"
    return page
