"""Fixtures of the top floor's tests: books in temporary folders."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from tiny_books import TINY, Cells, make_project

from trustlib.runs import Project


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A book with the chapters ``first`` and ``second``, both tiny."""
    return make_project(tmp_path, {"first": TINY, "second": TINY})


@pytest.fixture
def project_of(tmp_path: Path) -> Callable[[dict[str, Cells]], Project]:
    """Makes a book with given chapters."""
    return lambda notebooks: make_project(tmp_path, notebooks)
