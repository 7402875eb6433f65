"""The copy of the book's sources that Jupyter Book renders, with executed notebooks at the same paths.

The text of a page always comes from the repository: outputs of the stored execution are laid over the
notebook as it is now, so a corrected sentence shows without running anything. Files are rewritten only where
they differ, which keeps Sphinx incremental.
"""

from __future__ import annotations

import copy
import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from trustlib.runs.footer import is_footer
from trustlib.runs.project import Project

__all__ = ["book_sources", "figures_to_cells", "overlay", "stale_note", "synchronise", "without_generated"]

_SUFFIXES = (".md", ".yml", ".cff", ".bib")  # files of the root that pages may include
_SKIPPED = ("__pycache__", "_build", ".ipynb_checkpoints", "_generated")
_INJECTED = "injected-parameters"
_KERNEL = {"name": "python3", "display_name": "Python 3", "language": "python"}
_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")
_ANSI = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


def book_sources(project: Project) -> dict[str, Path]:
    """Files that make the book, by path relative to the root; notebooks are added executed."""
    found = {
        path.name: path
        for path in project.root.iterdir()
        if path.is_file() and (path.suffix in _SUFFIXES or path.name == "LICENSE") and path.name[0] != "."
    }
    for path in (project.root / "book").rglob("*"):
        parts = path.relative_to(project.root).parts
        if path.is_file() and not any(part in _SKIPPED or part.startswith(".") for part in parts):
            found["/".join(parts)] = path
    return found


def overlay(source: Any, executed: Any) -> Any:
    """The notebook as it is now, with the outputs of its execution.

    Args:
        source: the notebook in the repository.
        executed: the same code cells, executed; their order and sources must agree.

    Returns:
        A new notebook: cells of ``source`` with outputs, the injected parameters folded below the parameters
        cell, the provenance footer at the end, figures as ``figures_to_cells`` makes them.

    Raises:
        ValueError: the execution belongs to other code cells.
    """
    done = [cell for cell in executed.cells if cell.cell_type == "code"]
    injected = [cell for cell in done if _tagged(cell, _INJECTED)]
    outputs = iter([cell for cell in done if not _tagged(cell, _INJECTED)])
    page = copy.deepcopy(source)
    page.cells = []
    for cell in copy.deepcopy(source.cells):
        page.cells.append(cell)
        if cell.cell_type != "code":
            continue
        result = next(outputs, None)
        if result is None or result.source != cell.source:
            raise ValueError(f"The execution does not belong to this notebook: it differs at\n{cell.source}")
        cell.outputs = [_clean(output) for output in copy.deepcopy(result.outputs)]
        cell.execution_count = result.execution_count
        if _tagged(cell, "parameters"):
            page.cells += [_folded(copy.deepcopy(extra)) for extra in injected]
    page.cells = [part for cell in page.cells for part in figures_to_cells(cell)]
    page.cells += [copy.deepcopy(cell) for cell in executed.cells if is_footer(cell)]
    page.metadata.setdefault("kernelspec", _KERNEL)
    for key in ("language_info", "widgets", "trustlib"):
        if key in executed.metadata:
            page.metadata[key] = executed.metadata[key]
    return page


def without_generated(executed: Any) -> Any:
    """An executed notebook without injected cell and footer: the notebook as it was when it ran."""
    source = copy.deepcopy(executed)
    source.cells = [c for c in source.cells if not is_footer(c) and not _tagged(c, _INJECTED)]
    return source


def _tagged(cell: Any, tag: str) -> bool:
    """Whether a cell carries a tag."""
    return tag in cell.metadata.get("tags", [])


def _folded(cell: Any) -> Any:
    """The injected cell, its code folded: there for those who want to see what was run."""
    cell.metadata["tags"] = [*cell.metadata["tags"], "hide-input"]
    return cell


def _clean(output: Any) -> Any:
    """An output without terminal colours and memory addresses, which differ between equal runs."""
    if "text" in output:
        output.text = _ANSI.sub("", output.text)
    if "text/plain" in output.get("data", {}):
        output.data["text/plain"] = _ADDRESS.sub("", _ANSI.sub("", output.data["text/plain"]))
    return output


def figures_to_cells(cell: Any) -> list[Any]:
    """A cell whose figures are numbered, captioned and described: one cell per figure, as MyST-NB needs it.

    ``trustlib.plotting.show`` marks an image output with ``{"trustlib": {"figure": {name, caption, alt}}}``
    and shows the caption as a second output for people in Jupyter. MyST-NB reads figure and alt text from the
    metadata of the *cell* and applies them to every output in it. So outputs before the first figure stay
    with the code; further figures, and what follows them, become cells without code; caption outputs are
    dropped.

    Args:
        cell: a cell of an executed notebook; it is changed.

    Returns:
        The cell, and the cells that follow from it.
    """
    if cell.cell_type != "code":
        return [cell]
    groups: list[tuple[dict[str, str] | None, list[Any]]] = [(None, [])]
    for output in cell.outputs:
        marks = output.get("metadata", {}).get("trustlib", {})
        if "caption_for" in marks:
            continue
        if "figure" in marks:
            groups.append((marks["figure"], [output]))
        elif groups[-1][0] is not None:
            groups.append((None, [output]))
        else:
            groups[-1][1].append(output)
    if len(groups) > 1 and not groups[0][1]:
        groups.pop(0)
    cell.outputs = []
    cells = [cell, *(_continuation(cell, number) for number in range(1, len(groups)))]
    for part, (figure, outputs) in zip(cells, groups, strict=True):
        part.outputs = outputs
        if figure:
            part.metadata["mystnb"] = {
                **part.metadata.get("mystnb", {}),
                "image": {"alt": figure["alt"]},
                "figure": {"name": figure["name"], "caption": figure["caption"]},
            }
    return cells


def _continuation(cell: Any, number: int) -> Any:
    """A cell without code for further outputs of a cell; tags about outputs are kept."""
    import nbformat

    tags = ["hide-output" if tag == "hide-cell" else tag for tag in cell.metadata.get("tags", [])]
    tags = [tag for tag in tags if "output" in tag]
    return nbformat.v4.new_code_cell(
        id=f"{cell.id[:56]}-{number}",
        execution_count=cell.execution_count,
        metadata={**copy.deepcopy(cell.metadata), "tags": [*tags, "remove-input"]},
    )


def stale_note(page: Any, text: str) -> Any:
    """The notebook with a warning below its title: its outputs are not those of the present code."""
    import nbformat

    note = nbformat.v4.new_markdown_cell(f"```{{warning}}\n{text}\n```", id="stale")
    return nbformat.from_dict({**page, "cells": [*page.cells[:1], note, *page.cells[1:]]})


def notebook_text(page: Any) -> str:
    """A notebook as the text of its file."""
    import nbformat

    nbformat.validate(page)
    return nbformat.writes(page) + "\n"


def synchronise(stage: Path, wanted: Mapping[str, Path | str]) -> str:
    """Make a folder hold exactly the wanted files, touching only those that differ.

    Args:
        stage: the folder, made if missing; files that are not wanted are removed.
        wanted: relative path -> a file to copy, or the text itself.

    Returns:
        SHA-256 over all paths and contents.
    """
    total = hashlib.sha256()
    for name in sorted(wanted):
        content = wanted[name]
        data = content.encode() if isinstance(content, str) else content.read_bytes()
        total.update(json.dumps([name, hashlib.sha256(data).hexdigest()]).encode())
        target = stage / name
        if not target.is_file() or target.read_bytes() != data:
            target.parent.mkdir(parents=True, exist_ok=True)
            aside = target.with_name(f".{target.name}.tmp")
            aside.write_bytes(data)
            aside.replace(target)
    for path in sorted(stage.rglob("*"), reverse=True):
        if path.is_file() and path.relative_to(stage).as_posix() not in wanted:
            path.unlink()
        elif path.is_dir() and not any(path.iterdir()):
            path.rmdir()
    return total.hexdigest()
