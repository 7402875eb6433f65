"""The record of one execution: from which sources, with which values, on what, how long, how much memory."""

from __future__ import annotations

import hashlib
import json
import shlex
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from trustlib.runs.parameters import seeds_of
from trustlib.runs.project import Project, Settings

__all__ = ["command_line", "describe", "git_state", "slowest_cells", "tools", "write_atomically"]

SCHEMA = 1


def describe(
    project: Project,
    name: str,
    settings: Settings,
    *,
    notebook: Any,
    started: datetime,
    git: dict[str, Any] | None,
    facts: dict[str, Any],
    peak_bytes: int,
    error: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """The record that an executed notebook carries, as JSON values.

    Args:
        project: the book it belongs to.
        name: the notebook.
        settings: profile and parameters.
        notebook: the executed notebook, for the times of its cells.
        started: when the execution began, with time zone.
        git: commit and dirty flag at that moment, from ``git_state``.
        facts: what ``trustlib.runs.probe.facts`` said in the kernel; empty if the kernel had died.
        peak_bytes: largest memory of the kernel and its children.
        error: ``cell`` (counted from 1), ``name`` and ``value`` of the error that ended it, None if none did.

    Returns:
        A dictionary with the keys ``schema notebook status date seconds command profile parameters seeds git
        constraints_sha256 slowest_cells error memory python platform packages device data``.
    """
    memory = {"gpu_peak_bytes": None, **facts.get("memory", {}), "peak_bytes": peak_bytes}
    kernel = {key: facts.get(key) for key in ("python", "platform", "packages", "device", "data")}
    return {
        "schema": SCHEMA,
        "notebook": name,
        "status": "failed" if error else "complete",
        "date": started.astimezone(UTC).isoformat(timespec="seconds"),
        "seconds": round((datetime.now(UTC) - started).total_seconds(), 2),
        "command": command_line(),
        "profile": settings.profile,
        "parameters": settings.parameters,
        "seeds": seeds_of(settings.parameters),
        "git": git,
        "constraints_sha256": file_hash(project.root / "constraints.txt"),
        "slowest_cells": slowest_cells(notebook),
        "error": error,
        "memory": memory,
        **kernel,
        "data": facts.get("data", []),
        "device": _with_driver(facts.get("device") or {}),
    }


def command_line() -> str:
    """The command that runs now, without the folder that its program lies in."""
    return shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])


def git_state(root: Path) -> dict[str, Any] | None:
    """Commit and whether anything differs from it; None outside git or before the first commit."""
    commit = _git(root, "rev-parse", "HEAD")
    if commit is None:
        return None
    return {"commit": commit, "dirty": bool(_git(root, "status", "--porcelain"))}


def _git(root: Path, *arguments: str) -> str | None:
    """Output of a git command, None if there is no git or it fails."""
    try:
        done = subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, text=True)
    except FileNotFoundError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def file_hash(path: Path) -> str | None:
    """SHA-256 of a file, None if there is none."""
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else None


def slowest_cells(notebook: Any, *, n: int = 3) -> list[dict[str, Any]]:
    """The n code cells that took longest: ``cell`` (counted from 1), ``seconds`` and the ``first_line``."""
    timed = [
        {
            "cell": index + 1,
            "seconds": round(cell.metadata.get("papermill", {}).get("duration") or 0.0, 2),
            "first_line": next(iter(cell.source.strip().splitlines()), ""),
        }
        for index, cell in enumerate(notebook.cells)
        if cell.cell_type == "code"
    ]
    return sorted(timed, key=lambda entry: float(entry["seconds"]), reverse=True)[:n]


def gpus() -> list[dict[str, str]]:
    """Name and driver of the GPUs that the driver's own tool lists; torch stays unloaded.

    CUDA_VISIBLE_DEVICES hides GPUs as it does for torch: empty or -1 hides all of them.
    """
    import os

    if os.environ.get("CUDA_VISIBLE_DEVICES", "all").strip() in ("", "-1"):
        return []
    query = ["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"]
    try:
        done = subprocess.run(query, capture_output=True, text=True)
    except FileNotFoundError:
        return []
    if done.returncode != 0:
        return []
    rows = (line.split(",") for line in done.stdout.splitlines() if "," in line)
    return [{"name": name.strip(), "driver": driver.strip()} for name, driver in rows]


def _with_driver(device: dict[str, Any]) -> dict[str, Any]:
    """The kernel's device with the version of the GPU driver beside it."""
    found = gpus() if device.get("class") == "cuda" else []
    return {**device, "driver": found[0]["driver"]} if found else device


def tools() -> dict[str, str]:
    """Versions of what renders the book."""
    from importlib import metadata

    names = ("jupyter-book", "sphinx", "myst-nb", "sphinx-book-theme", "sphinx-exercise")
    return {name: metadata.version(name) for name in names}


def write_atomically(path: Path, text: str) -> None:
    """Write a text file aside and rename it: a reader sees the old or the new one and nothing between."""
    import os

    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        aside.write_text(text)
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)


def to_json(value: Any) -> str:
    """JSON for people and diffs: sorted, indented, ends with a newline."""
    return json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
