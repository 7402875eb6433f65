"""Jupyter Book over the stage: strict, incremental, published only when whole."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from trustlib.runs.errors import RenderingFailed
from trustlib.runs.project import Project
from trustlib.runs.provenance import file_hash, tools
from trustlib.runs.store import library_files

__all__ = ["Say", "render"]

Say = Callable[[str], None]

_STAMP = ".stamp"  # inside the published folder: the hash of what it was made from
_ALERT = re.compile(r"\b(WARNING|ERROR|CRITICAL|SEVERE)\b|^\S*(Error|Exception)\b")


def render(project: Project, stage: Path, content: str, *, strict: bool, lock: int, say: Say) -> bool:
    """Turn the stage into ``_build/html``.

    Args:
        project: the book.
        stage: the staged sources.
        content: hash of the stage.
        strict: whether a warning is an error.
        lock: descriptor of the build lock; the renderer inherits it, so that one that outlives its killed
            parent still keeps others out of the folders it writes to.
        say: called with a line for people before the rendering.

    Returns:
        Whether anything was rendered; False if the book is up to date.

    Raises:
        RenderingFailed: Jupyter Book failed or warned; the published book is untouched.
    """
    published = project.build / "html"
    foundation = _foundation(project, stage, strict)
    stamp = hashlib.sha256(json.dumps([content, foundation]).encode()).hexdigest()
    if _read(published / _STAMP) == stamp:
        return False
    say("Rendering the pages ..." if strict else "Rendering the pages, some of them stale, not strictly ...")
    work = project.build / "sphinx"
    _begin(work, foundation)
    _run_jupyter_book(project, stage, work, strict=strict, lock=lock)
    _publish(work / "_build/html", published, stamp)
    (work / "unfinished").unlink()
    return True


def _foundation(project: Project, stage: Path, strict: bool) -> str:
    """Hash of what all pages depend on without Sphinx knowing: configuration, extensions, library, tools."""
    shared = [stage / "_config.yml", stage / "_toc.yml", *sorted((stage / "book/_ext").rglob("*.py"))]
    parts = {
        "shared": [file_hash(path) for path in shared],
        "library": {name: file_hash(project.library / name) for name in library_files(project)},
        "tools": tools(),
        "strict": strict,  # pages that were read leniently have to be read again
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _begin(work: Path, foundation: str) -> None:
    """Keep Sphinx's memory only if its last build ended well on the same foundation.

    A build that was killed may leave a half-written page that Sphinx takes for a new one, and a build that
    failed on warnings would not repeat them for pages it has already read.
    """
    if (work / "unfinished").exists() or _read(work / "foundation") != foundation:
        shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True, exist_ok=True)
    (work / "unfinished").touch()
    (work / "foundation").write_text(foundation)


def _run_jupyter_book(project: Project, stage: Path, work: Path, *, strict: bool, lock: int) -> None:
    """Run Jupyter Book in a process of its own, its output in a log file."""
    main = "from jupyter_book.cli.main import main; main()"
    command = [
        sys.executable,
        "-c",
        main,
        "build",
        str(stage),
        "--path-output",
        str(work),
        "-n",
        "--keep-going",
    ]
    log = project.build / "sphinx.log"
    with log.open("w") as output:
        done = subprocess.run(
            command + ["-W"] * strict,
            cwd=project.root,
            env={**os.environ, "PYTHONHASHSEED": "0", "NO_COLOR": "1"},
            stdout=output,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            pass_fds=(lock,),
        )
    if done.returncode != 0:
        raise RenderingFailed(_complaints(log.read_text(), stage, log))


def _complaints(text: str, stage: Path, log: Path) -> str:
    """The lines of a log that say what is wrong, with paths as in the repository."""
    lines = [line.replace(f"{stage}/", "") for line in text.splitlines() if _ALERT.search(line)]
    shown = list(dict.fromkeys(lines))[:20] or text.splitlines()[-20:]
    return "Jupyter Book refused the pages (warnings count as errors):\n  " + "\n  ".join(
        [*shown, f"Everything it said is in {log}"]
    )


def _publish(made: Path, published: Path, stamp: str) -> None:
    """Copy the pages aside, stamp them, and swap them in by renaming."""
    new, old = published.with_name(".html.new"), published.with_name(".html.old")
    for folder in (new, old):
        shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(made, new)
    (new / _STAMP).write_text(stamp)
    if published.exists():
        published.rename(old)
    new.rename(published)
    shutil.rmtree(old, ignore_errors=True)


def _read(path: Path) -> str | None:
    """The text of a file, None if there is none."""
    return path.read_text() if path.is_file() else None
