"""What can go wrong on the top floor, as exceptions a caller can tell apart."""

from __future__ import annotations

from pathlib import Path

__all__ = ["ExecutionFailed", "ParameterError", "ProjectError", "RenderingFailed"]


class ParameterError(ValueError):
    """A parameter is declared or given in a way that cannot work; nothing was run."""


class ProjectError(ValueError):
    """The folder, notebook or profile asked for does not exist or cannot be used; nothing was run."""


class ExecutionFailed(RuntimeError):
    """A notebook stopped at an error.

    Args:
        message: which notebook, which cell, which error.
        partial: the notebook with everything that ran before the error, or None if nothing could be kept.
    """

    def __init__(self, message: str, *, partial: Path | None = None) -> None:
        super().__init__(message)
        self.partial = partial


class RenderingFailed(RuntimeError):
    """Jupyter Book refused the staged sources; the previous book, if any, is untouched."""
