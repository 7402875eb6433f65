"""SHA-256 of files: computed once per change of a file, remembered, and recorded on first use.

Two memories, both under the cache: ``.verified`` keeps the hash of a file together with its size and time of last
change, so that an unchanged file is not read again; ``.first_use`` keeps the hash of files that came without a
pinned one. A file that is changed without touching size and time is not noticed until the memory is deleted.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from trustlib.data.folders import cache_folder

_SEEN: dict[tuple[str, int, int], str] = {}


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's bytes, 64 hexadecimal digits; read anew only if size or time of change differ.

    Raises:
        FileNotFoundError: no such file.
    """
    key = _state(path)
    digest = _remembered(key)
    if digest is None:
        digest = _hash(path)
        record = dict(zip(("path", "size_bytes", "changed_ns"), key, strict=True))
        with contextlib.suppress(OSError):  # a read-only cache costs time, not correctness
            write_record(_memory(key), {**record, "sha256": digest})
    _SEEN[key] = digest
    return digest


def remembered_sha256(path: Path) -> str | None:
    """SHA-256 of a file if it was hashed before and has not changed since, else None; the file is not read.

    Raises:
        FileNotFoundError: no such file.
    """
    return _remembered(_state(path))


def first_use(name: str, path: str) -> str | None:
    """The hash recorded when a file without a pinned hash was first used, None if it never was."""
    return read_record(_first_use_record(name, path)).get("sha256")


def record_first_use(name: str, path: str, *, sha256: str, source: str) -> None:
    """Remember the hash of a file without a pinned one; later uses are checked against it."""
    write_record(_first_use_record(name, path), {"path": path, "sha256": sha256, "source": source})


def first_use_record(name: str, path: str) -> Path:
    """Where the hash of a file without a pinned one is kept, for messages that say what to delete."""
    return _first_use_record(name, path)


def write_bytes_whole(path: Path, content: bytes) -> None:
    """Write a file under a temporary name beside its place, then rename: it exists whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{uuid.uuid4().hex}.part")
    try:
        aside.write_bytes(content)
        os.replace(aside, path)
    finally:
        aside.unlink(missing_ok=True)


def write_record(path: Path, content: Mapping[str, Any]) -> None:
    """Write a small JSON file whole."""
    write_bytes_whole(path, (json.dumps(content, indent=1, sort_keys=True) + "\n").encode())


def read_record(path: Path) -> dict[str, Any]:
    """A small JSON file, empty if it is missing or damaged."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _state(path: Path) -> tuple[str, int, int]:
    """Path, size and time of last change: what a remembered hash holds for."""
    state = path.stat()
    return str(path.resolve()), state.st_size, state.st_mtime_ns


def _memory(key: tuple[str, int, int]) -> Path:
    """Where the hash of a file is remembered."""
    return cache_folder() / ".verified" / f"{_name_of(key[0])}.json"


def _remembered(key: tuple[str, int, int]) -> str | None:
    """The hash of a file in the state ``key``, from this process or an earlier one."""
    if key in _SEEN:
        return _SEEN[key]
    stored = read_record(_memory(key))
    same = [stored.get("path"), stored.get("size_bytes"), stored.get("changed_ns")] == list(key)
    return str(stored["sha256"]) if same and "sha256" in stored else None


def _hash(path: Path) -> str:
    """SHA-256 of a file, read in blocks."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _name_of(text: str) -> str:
    """A file name that stands for any text."""
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _first_use_record(name: str, path: str) -> Path:
    """The sidecar of one file of one data set."""
    return cache_folder() / ".first_use" / name / (path.replace("/", "--") + ".json")
