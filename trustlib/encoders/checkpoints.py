"""Checkpoints of a training: written whole, checked before use."""

from __future__ import annotations

import hashlib
import io
import os
import uuid
from pathlib import Path
from typing import Any

import torch

_MARK = b"trustlib checkpoint 1\n"


def write_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Writes plain values and tensors under a temporary name, with their hash in front, then renames the file.

    Args:
        path: of the checkpoint; folders are made.
        state: numbers, texts, lists, dictionaries and tensors.
    """
    stream = io.BytesIO()
    torch.save(state, stream)
    content = stream.getvalue()
    replace_file(path, _MARK + hashlib.sha256(content).hexdigest().encode() + b"\n" + content)


def read_checkpoint(path: Path) -> dict[str, Any] | None:
    """The state of a checkpoint; None if the file is damaged, incomplete or not there.

    Args:
        path: of the checkpoint.

    Returns:
        What was written; tensors on the CPU.
    """
    try:
        raw = path.read_bytes()
    except OSError:
        return None
    digest, _, content = raw.removeprefix(_MARK).partition(b"\n")
    if not raw.startswith(_MARK) or hashlib.sha256(content).hexdigest().encode() != digest:
        return None
    return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)


def replace_file(path: Path, content: bytes) -> None:
    """Writes a file beside its place and renames it: there is the old one or the new one, never a part of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{uuid.uuid4().hex}.part")
    try:
        with aside.open("wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(aside, path)
    finally:
        aside.unlink(missing_ok=True)
