"""The last cell of an executed notebook: its record, for people."""

from __future__ import annotations

import json
from typing import Any

__all__ = ["attach_record", "footer_text", "is_footer"]

FOOTER = "provenance"  # id of the generated cell


def attach_record(notebook: Any, record: dict[str, Any]) -> None:
    """Put a record into a notebook: as JSON under ``metadata["trustlib"]["record"]`` and as its last cell."""
    import nbformat

    notebook.metadata.setdefault("trustlib", {})["record"] = record
    notebook.cells = [cell for cell in notebook.cells if not is_footer(cell)]
    notebook.cells.append(
        nbformat.v4.new_markdown_cell(
            footer_text(record), id=FOOTER, metadata={"trustlib": {"generated": FOOTER}}
        )
    )


def is_footer(cell: Any) -> bool:
    """Whether a cell is the generated one."""
    return cell.metadata.get("trustlib", {}).get("generated") == FOOTER


def footer_text(record: dict[str, Any]) -> str:
    """The record as Markdown: a heading and a folded table that reads the same in Jupyter and in the book."""
    rows = [
        ("Command", f"`{record['command']}`"),
        ("Code", _code(record)),
        ("Parameters", _assignments(record["parameters"])),
        ("Seeds", _assignments(record["seeds"])),
        ("Data", ", ".join(f"{d['name']} ({_digest(d['sha256'])})" for d in record["data"]) or "none"),
        ("Device", _device(record["device"])),
        ("Time", f"{record['seconds']:.1f} s, started {record['date']}"),
        ("Slowest cells", "; ".join(_cell(entry) for entry in record["slowest_cells"])),
        ("Peak memory", _memory(record["memory"])),
        ("System", f"Python {record['python']} on {record['platform']}"),
        ("Packages", ", ".join(f"{k} {v}" for k, v in (record["packages"] or {}).items()) or "unknown"),
        ("Pinned versions", _digest(record["constraints_sha256"])),
    ]
    if record["error"]:
        rows.insert(0, ("Error", f"cell {record['error']['cell']}: `{record['error']['name']}`"))
    table = "\n".join(f"| {label} | {_escaped(value)} |" for label, value in rows)
    summary = f"Profile {record['profile']}, {record['seconds']:.0f} s, {_commit(record)}"
    return (
        f"## Provenance\n\n<details><summary>{summary}</summary>\n\n"
        f"| Recorded | Value |\n|---|---|\n{table}\n\n</details>"
    )


def _digest(digest: str | None) -> str:
    """The start of a SHA-256; the record has all of it."""
    return f"SHA-256 `{digest[:12]}…`" if digest else "none"


def _commit(record: dict[str, Any]) -> str:
    """The commit in a few characters, for the folded line."""
    git = record["git"]
    if git is None:
        return "outside git"
    return f"commit {git['commit'][:10]}{' with local changes' if git['dirty'] else ''}"


def _code(record: dict[str, Any]) -> str:
    """The full commit and whether the tree was clean."""
    git = record["git"]
    if git is None:
        return "not in a git repository"
    return f"commit `{git['commit']}`, {'with local changes' if git['dirty'] else 'clean'}"


def _assignments(values: dict[str, Any]) -> str:
    """``name = value`` for each, the values as JSON."""
    written = (f"`{name} = {json.dumps(value, ensure_ascii=False)}`" for name, value in values.items())
    return ", ".join(written) or "none"


def _device(device: dict[str, Any]) -> str:
    """Processor and threads, or the GPUs with CUDA and driver."""
    if not device:
        return "unknown, the kernel died"
    if device["class"] == "cuda":
        driver = f", driver {device['driver']}" if "driver" in device else ""
        return f"{', '.join(device['gpus'])} (CUDA {device['cuda']}{driver}); {device['processor']}"
    threads = f", {device['threads']} threads" if "threads" in device else ""
    return f"{device['processor']}{threads}"


def _cell(entry: dict[str, Any]) -> str:
    """One of the slowest cells."""
    line = entry["first_line"].replace("`", "'")
    return f"{entry['seconds']:.1f} s `{line[:60]}`"


def _memory(memory: dict[str, Any]) -> str:
    """Peaks in gigabytes."""
    text = f"{memory['peak_bytes'] / 1e9:.2f} GB"
    if memory["gpu_peak_bytes"] is not None:
        text += f", GPU {memory['gpu_peak_bytes'] / 1e9:.2f} GB"
    return text


def _escaped(value: str) -> str:
    """Text that stays inside its table cell."""
    return value.replace("|", "\\|").replace("\n", " ")
