"""One notebook, run in a process of its own, written aside and renamed when it is whole."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from trustlib.runs.errors import ExecutionFailed
from trustlib.runs.footer import attach_record
from trustlib.runs.project import Project, Settings
from trustlib.runs.provenance import describe, git_state

__all__ = ["Execution", "failed_path", "run_notebook"]


@dataclass(frozen=True)
class Execution:
    """A notebook that ran to its end.

    Args:
        path: the executed notebook, with its record.
        record: the record, see ``trustlib.runs.provenance.describe``.
    """

    path: Path
    record: dict[str, Any]


def failed_path(out: Path) -> Path:
    """Where the partial notebook of a failed run is kept: never under the final name.

    Example:
        >>> failed_path(Path("mine.ipynb")).name
        'mine.failed.ipynb'
    """
    return out.with_name(f"{out.stem}.failed.ipynb")


def run_notebook(
    project: Project, name: str, settings: Settings, *, out: Path, kept: Path | None = None
) -> Execution:
    """Execute one notebook with given values and write it with its record.

    Args:
        project: the book.
        name: the notebook.
        settings: checked values, from ``trustlib.runs.Project.settings``.
        out: where the executed notebook goes; an older file there is replaced only by a whole one.
        kept: where a partial notebook is kept if a cell fails; beside ``out`` by default.

    Raises:
        ExecutionFailed: a cell raised or the kernel died; names the cell, the error and the partial notebook.
    """
    from papermill import PapermillExecutionError

    from trustlib.runs.engine import Journal, execute

    source, out = project.notebook(name), out.resolve()
    kept = kept or failed_path(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    _remove_leftovers(out)
    aside = out.with_name(f".{out.stem}.{os.getpid()}.part.ipynb")
    journal = Journal()
    begun = {"started": datetime.now(UTC), "git": git_state(project.root)}
    try:
        execute(source, aside, parameters=settings.injected, title=name, journal=journal)
        record = _finish(project, name, settings, aside, journal, begun, error=None)
        aside.replace(out)
        kept.unlink(missing_ok=True)
        return Execution(out, record)
    except (PapermillExecutionError, RuntimeError, KeyboardInterrupt) as failure:
        if not aside.exists():
            raise
        error = _error_of(failure, aside, journal)
        _finish(project, name, settings, aside, journal, begun, error=error)
        kept.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(aside, kept)
        if isinstance(failure, KeyboardInterrupt):
            raise
        raise ExecutionFailed(_message(name, error, kept), partial=kept) from failure
    finally:
        aside.unlink(missing_ok=True)


def _finish(
    project: Project,
    name: str,
    settings: Settings,
    path: Path,
    journal: Any,
    begun: dict[str, Any],
    *,
    error: dict[str, Any] | None,
) -> dict[str, Any]:
    """Clean the executed notebook, attach its record, write it back; returns the record."""
    import nbformat

    notebook = nbformat.read(path, as_version=4)
    record = describe(
        project,
        name,
        settings,
        notebook=notebook,
        **begun,
        facts=journal.facts,
        peak_bytes=journal.peak_bytes,
        error=error,
    )
    _tidy(notebook)
    attach_record(notebook, record)
    nbformat.write(notebook, path)
    return record


def _tidy(notebook: Any) -> None:
    """Drop what the executor left: paths of this machine, times of cells (in the record), empty tags."""
    notebook.metadata.pop("papermill", None)
    for cell in notebook.cells:
        for key in ("papermill", "execution"):
            cell.metadata.pop(key, None)
        if not cell.metadata.get("tags", True):
            cell.metadata.pop("tags")
        if "injected-parameters" in cell.metadata.get("tags", []):
            cell.id = "injected-parameters"


def _error_of(failure: BaseException, path: Path, journal: Any) -> dict[str, Any]:
    """Where and why a notebook stopped: ``cell`` counted from 1 in the source, ``prompt``, ``first_line``."""
    import nbformat

    cells = [
        cell
        for cell in nbformat.read(path, as_version=4).cells
        if "papermill-error-cell-tag" not in cell.metadata.get("tags", [])
    ]
    index = max(journal.cell, 0)
    added = sum("injected-parameters" in cell.metadata.get("tags", []) for cell in cells[:index])
    cell = cells[index]
    return {
        "cell": index + 1 - added,
        "prompt": cell.get("execution_count"),
        "first_line": next(iter(cell.source.strip().splitlines()), ""),
        "name": getattr(failure, "ename", type(failure).__name__),
        "value": str(getattr(failure, "evalue", failure)),
    }


def _message(name: str, error: dict[str, Any], kept: Path) -> str:
    """What a person needs to find the error."""
    remedy = "; the system may have run out of memory" if error["name"] == "DeadKernelError" else ""
    prompt = f" (In [{error['prompt']}])" if error["prompt"] else ""
    return (
        f"{name} stopped in cell {error['cell']}{prompt}, `{error['first_line']}`:\n"
        f"  {error['name']}: {error['value']}{remedy}\n"
        f"Everything that ran before it is in {kept}"
    )


def _remove_leftovers(out: Path) -> None:
    """Remove partial files of runs of the same output whose process is gone."""
    import psutil

    for path in out.parent.glob(f".{out.stem}.*.part.ipynb"):
        pid = path.name.removesuffix(".part.ipynb").rsplit(".", 1)[1]
        if not pid.isdigit() or not psutil.pid_exists(int(pid)):
            path.unlink(missing_ok=True)
