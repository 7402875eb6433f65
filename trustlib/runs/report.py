"""What a build did and found: one row per chapter, the claims, what is kept in the repository."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from trustlib.runs.errors import ProjectError
from trustlib.runs.project import Project
from trustlib.runs.provenance import to_json, write_atomically

__all__ = ["Chapter", "State", "claims_book", "coverage_problems", "keep_results", "report"]

State = Literal["executed", "stored", "stale", "missing", "failed"]


@dataclass(frozen=True)
class Chapter:
    """One notebook in one build.

    Args:
        name: the notebook.
        state: "executed" now; "stored", a stored execution still holds; "stale", only an execution of older
            code is there; "missing", none is; "failed" now.
        notebook: the executed notebook, None if there is none.
        record: its provenance record, None if there is none.
        claims: the claims it decided, as ``trustlib.claims.collect`` returns them.
        message: why it failed.
    """

    name: str
    state: State
    notebook: Any = None
    record: dict[str, Any] | None = None
    claims: list[dict[str, Any]] = field(default_factory=list)
    message: str = ""

    @property
    def verdicts(self) -> dict[str, int]:
        """How many claims got which verdict."""
        return dict(Counter(claim["verdict"] for claim in self.claims))

    def row(self) -> dict[str, Any]:
        """The chapter's line in reports and result files: the same for equal executions, fresh or stored."""
        if self.record is None:
            return {"name": self.name, "state": self.state}
        record = self.record
        git = record["git"] or {"commit": None, "dirty": None}
        device = record["device"]
        return {
            "name": self.name,
            "title": _title(self.notebook),
            "profile": record["profile"],
            "verdicts": self.verdicts,
            "seconds": record["seconds"],
            "peak_memory_bytes": record["memory"]["peak_bytes"],
            "gpu_peak_memory_bytes": record["memory"]["gpu_peak_bytes"],
            "device": ", ".join(device["gpus"]) if device.get("class") == "cuda" else device.get("processor"),
            "date": record["date"],
            "commit": git["commit"],
            "dirty": git["dirty"],
            "slowest_cell": next(iter(record["slowest_cells"]), None),
            **({"state": self.state} if self.state == "stale" else {}),
        }


def report(profile: str, chapters: list[Chapter], *, states: bool) -> dict[str, Any]:
    """The build as JSON values: ``profile``, ``notebooks`` (rows) and ``claims`` (of all chapters).

    Args:
        profile: the profile of the build.
        chapters: in the order of their names.
        states: whether rows say what was executed now and what came from the store. The copy that pages are
            made from leaves it out, so that a second build finds nothing to render.
    """
    rows = [{**c.row(), **({"state": c.state, "message": c.message} if states else {})} for c in chapters]
    whole = [c for c in chapters if c.record is not None and (states or c.state != "stale")]
    return {
        "schema": 1,
        "profile": profile,
        "notebooks": rows if states else [row for row in rows if "seconds" in row],
        "claims": [claim for c in whole for claim in c.claims],
    }


def claims_book(project: Project) -> Any:
    """The claims of the book, None if it has no claims file.

    Raises:
        ProjectError: the file is not valid; says what is wrong with it.
    """
    from trustlib import claims

    path = project.root / "book" / "claims.yml"
    try:
        return claims.load_claims(path) if path.is_file() else None
    except claims.ClaimsFileError as error:
        raise ProjectError(str(error)) from error


def coverage_problems(project: Project, profile: str, chapters: list[Chapter]) -> list[str]:
    """Claims that are checked and not listed, or listed and never checked, one sentence each."""
    from trustlib import claims

    book = claims_book(project)
    if book is None:
        return []
    return [
        problem
        for chapter in chapters
        if chapter.state in ("executed", "stored")
        for problem in claims.audit_coverage(book, chapter.name, chapter.claims, profile=profile)
    ]


def keep_results(project: Project, chapter: Chapter) -> Path:
    """Write ``book/results/<profile>/<name>.json``: claims, record and the numbers that the prose quotes."""
    from trustlib import claims

    row = chapter.row()
    run = {**row, "record": chapter.record, "quoted": quoted_values(chapter.notebook)}
    path = project.root / "book" / "results" / row["profile"] / f"{chapter.name}.json"
    content = claims.results_record(chapter.claims, paper=chapter.name, profile=row["profile"], run=run)
    write_atomically(path, to_json(content))
    return path


def quoted_values(notebook: Any) -> dict[str, str]:
    """Name -> text of everything that the notebook glued for its prose."""
    values = {}
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            name = output.get("metadata", {}).get("scrapbook", {}).get("name")
            prefix = output.get("metadata", {}).get("scrapbook", {}).get("mime_prefix", "")
            text = output.get("data", {}).get(f"{prefix}text/plain")
            if name and text is not None:
                values[name] = text.strip("'\"")
    return values


def _title(notebook: Any) -> str | None:
    """The text of the notebook's first heading."""
    for cell in notebook.cells:
        match = re.search(r"^# (.+)$", cell.source, re.MULTILINE) if cell.cell_type == "markdown" else None
        if match:
            return match[1].strip()
    return None
