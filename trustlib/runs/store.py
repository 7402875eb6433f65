"""Finished executions, each under the hash of everything that can change its outcome.

One folder per key holds the executed notebook and ``record.json``. A folder is written aside and renamed, so
it exists whole or not at all. Which data a notebook reads is known only after it ran: an execution counts as
current if everything known beforehand is the same *and* the data sets it named still have the same hashes.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import platform
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from trustlib.runs.execution import Execution, run_notebook
from trustlib.runs.project import Project, Settings
from trustlib.runs.provenance import file_hash, gpus, to_json

__all__ = ["Store", "exclusive", "known_key", "library_files"]

_FORMAT = 1  # raise it when stored executions of older versions can no longer be read
_KEEP = 4  # executions kept per notebook and profile
_OUTSIDE = ("__pycache__", ".ipynb_checkpoints")


def known_key(project: Project, name: str, settings: Settings) -> str:
    """SHA-256 over everything that decides a notebook's outcome and is known before it runs.

    That is: its code cells with their tags, the parameters, the sources of its room and of the floors below,
    its entries in ``book/claims.yml``, ``constraints.txt`` and the versions in use, the kind of device.
    """
    from trustlib.runs.probe import package_versions

    cells = [
        [cell.source, sorted(cell.metadata.get("tags", []))]
        for cell in project.read(name).cells
        if cell.cell_type == "code"
    ]
    parts = {
        "format": _FORMAT,
        "notebook": name,
        "cells": cells,
        "parameters": settings.parameters,
        "injected": settings.injected,
        "sources": {path: file_hash(project.library / path) for path in library_files(project, name)},
        "claims": _claims(project, name),
        "constraints": file_hash(project.root / "constraints.txt"),
        "packages": package_versions(),
        "python": platform.python_version_tuple()[:2],
        "device": [gpu["name"] for gpu in gpus()] or [platform.machine()],
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def library_files(project: Project, name: str | None = None) -> list[str]:
    """Library files that a notebook can depend on, relative to the package, sorted.

    Everything except the top floor and the rooms of *other* notebooks: rooms do not import one another, so a
    change in one paper's room runs one chapter again. With ``name=None`` every file is listed.
    """
    others = {"runs", *project.notebooks()} - {name} if name else set()
    return sorted(
        path.relative_to(project.library).as_posix()
        for path in project.library.rglob("*")
        if path.is_file()
        and path.relative_to(project.library).parts[0] not in others
        and not any(part in _OUTSIDE for part in path.parts)
    )


def _claims(project: Project, name: str) -> Any:
    """The rules that the notebook's verdicts follow: its own entries, or the file if it has another shape."""
    path = project.root / "book" / "claims.yml"
    if not path.is_file():
        return None
    content = yaml.safe_load(path.read_text())
    claims = content.get("claims") if isinstance(content, dict) else None
    if not isinstance(claims, list) or not all(isinstance(claim, dict) for claim in claims):
        return file_hash(path)
    return [claim for claim in claims if claim.get("paper", name) == name]


@dataclass(frozen=True)
class Store:
    """The folder of finished executions.

    Args:
        folder: where they lie, one folder per key.
        data_hash: current SHA-256 of a data set by name, None if it can no longer be told.
    """

    folder: Path
    data_hash: Callable[[str], str | None]

    def current(self, name: str, known: str) -> Execution | None:
        """The newest execution that still holds, None if the notebook has to run."""
        for execution in self._executions(name):
            record = execution.record
            if record["known_key"] == known and all(
                self.data_hash(entry["name"]) == entry["sha256"] for entry in record["data"]
            ):
                return execution
        return None

    def latest(self, name: str, profile: str) -> Execution | None:
        """The newest execution at a profile, whether or not it still holds."""
        return next((e for e in self._executions(name) if e.record["profile"] == profile), None)

    def add(self, project: Project, name: str, settings: Settings, known: str) -> Execution:
        """Execute a notebook and keep the result.

        If sources changed while it ran, nobody knows which of them it used: the result is kept, with None for
        its ``known_key``, and never counts as current.

        Raises:
            trustlib.runs.ExecutionFailed: as ``trustlib.runs.run_notebook``; nothing is added.
        """
        aside = self.folder / f".{name}.{os.getpid()}.tmp"
        shutil.rmtree(aside, ignore_errors=True)
        try:
            kept = self.folder.parent / "failed" / f"{name}.ipynb"
            done = run_notebook(project, name, settings, out=aside / f"{name}.ipynb", kept=kept)
            unchanged = known_key(project, name, settings) == known
            record = {**done.record, "known_key": known if unchanged else None}
            key = _key(record["known_key"], record["data"])
            (aside / "record.json").write_text(to_json({**record, "key": key}))
            _replace_folder(aside, self.folder / key)
        finally:
            shutil.rmtree(aside, ignore_errors=True)
        self._prune(name, settings.profile)
        return Execution(self.folder / key / f"{name}.ipynb", {**record, "key": key})

    def clean(self) -> None:
        """Remove what killed builds left behind."""
        for path in self.folder.glob(".*.tmp"):
            shutil.rmtree(path)

    def _executions(self, name: str) -> list[Execution]:
        """All executions of a notebook, newest first."""
        found = []
        for path in self.folder.glob("[!.]*/record.json"):
            record = json.loads(path.read_text())
            if record["notebook"] == name:
                found.append(Execution(path.parent / f"{name}.ipynb", record))
        return sorted(found, key=lambda execution: execution.record["date"], reverse=True)

    def _prune(self, name: str, profile: str) -> None:
        """Keep the newest executions of a notebook at a profile."""
        executions = [e for e in self._executions(name) if e.record["profile"] == profile]
        for execution in executions[_KEEP:]:
            discarded = self.folder / f".{execution.path.parent.name}.tmp"
            execution.path.parent.rename(discarded)
            shutil.rmtree(discarded)


def _key(known: str | None, data: list[dict[str, str]]) -> str:
    """The whole key: what was known before the run, and the data it turned out to use."""
    return hashlib.sha256(json.dumps([known, data], sort_keys=True).encode()).hexdigest()


def _replace_folder(new: Path, target: Path) -> None:
    """Rename a whole folder to its final name; an older one of that name steps aside first."""
    if target.exists():
        old = target.with_name(f".{target.name}.tmp")
        shutil.rmtree(old, ignore_errors=True)
        target.rename(old)
    new.rename(target)
    shutil.rmtree(target.with_name(f".{target.name}.tmp"), ignore_errors=True)


@contextlib.contextmanager
def exclusive(folder: Path, *, waiting: Callable[[str], None]) -> Iterator[int]:
    """Hold the build folder alone; the system frees the lock when its holder dies, however it dies.

    Args:
        folder: the build folder, made if missing.
        waiting: called with a message if another build has to end first.

    Yields:
        The descriptor of the lock. A child that inherits it keeps the lock while it still writes.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            waiting(
                f"Waiting for the build of process {lock.read().strip()} in {folder} to end (Ctrl-C gives up)"
            )
            fcntl.flock(lock, fcntl.LOCK_EX)
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield lock.fileno()
