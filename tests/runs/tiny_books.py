"""Tiny books in temporary folders: a few cells, a few lines of configuration."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nbformat

from trustlib.runs import Project

Cells = list[tuple[str, str]]

# kind of cell -> source; "parameters" is a code cell with that tag
TINY: Cells = [
    ("markdown", "# A tiny chapter\n\nSome prose."),
    ("parameters", 'seed = 3  # int, in [0, 100]: seed\nbounds = "paper"  # one of: "paper", "tight"'),
    ("code", "from trustlib.runs import check_parameters\n\nused = check_parameters(globals())"),
    ("code", "print(seed * 2, bounds)"),
]


def make_notebook(cells: Cells) -> Any:
    """A notebook node from kinds and sources."""
    nodes = []
    for kind, source in cells:
        if kind == "markdown":
            nodes.append(nbformat.v4.new_markdown_cell(source, id=f"cell-{len(nodes)}"))
        else:
            tags = {"tags": ["parameters"]} if kind == "parameters" else {}
            nodes.append(nbformat.v4.new_code_cell(source, id=f"cell-{len(nodes)}", metadata=tags))
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return nbformat.v4.new_notebook(
        cells=nodes, metadata={"kernelspec": kernel, "language_info": {"name": "python"}}
    )


def make_project(root: Path, notebooks: dict[str, Cells]) -> Project:
    """A book with these notebooks, and a small library of its own whose sources count."""
    (root / "notebooks" / "profiles").mkdir(parents=True)
    (root / "book").mkdir()
    (root / "_config.yml").write_text(
        "title: Tiny\nonly_build_toc_files: true\nexecute:\n  execute_notebooks: 'off'\n"
    )
    chapters = "".join(f"  - file: notebooks/{name}\n" for name in notebooks)
    (root / "_toc.yml").write_text(f"format: jb-book\nroot: book/intro\nchapters:\n{chapters}")
    (root / "book" / "intro.md").write_text("# Tiny\n\nA book.\n")
    for name, cells in notebooks.items():
        nbformat.write(make_notebook(cells), root / "notebooks" / f"{name}.ipynb")
    library = root / "library"
    for file in ("__init__.py", "data/tables.py", "first/method.py", "second/method.py", "runs/book.py"):
        (library / file).parent.mkdir(parents=True, exist_ok=True)
        (library / file).write_text("x = 1\n")
    return Project(root, library)


# the record of an execution that never was
RECORD = {
    "schema": 1,
    "notebook": "first",
    "status": "complete",
    "date": "2026-01-02T03:04:05+00:00",
    "seconds": 1.25,
    "command": "trustlib book",
    "profile": "quick",
    "parameters": {"seed": 3},
    "seeds": {"seed": 3},
    "git": None,
    "constraints_sha256": None,
    "slowest_cells": [{"cell": 4, "seconds": 1.0, "first_line": "print(`seed` | 2)"}],
    "error": None,
    "memory": {"peak_bytes": 2_000_000_000, "gpu_peak_bytes": None},
    "python": "3.11.7",
    "platform": "Linux",
    "packages": {"numpy": "2.1"},
    "device": {"class": "cpu", "processor": "AMD"},
    "data": [{"name": "insurance", "sha256": "ab" * 32}],
}
