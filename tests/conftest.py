"""Shared set-up of the whole suite: quiet, offline, deterministic, and counted skips."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import matplotlib
import pytest
from hypothesis import HealthCheck, settings

matplotlib.use("Agg")
os.environ.setdefault("TQDM_DISABLE", "1")

# Derandomised: a red run can be repeated; deadlines off: shared machines stall.
settings.register_profile(
    "house", derandomize=True, deadline=None, max_examples=50, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("house")

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "microsoft-edge")
MAC = "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome"
OPTIONS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]

ROOT = Path(__file__).resolve().parent.parent

# Fixture files hold no doctests; collected as modules they would all be called "conftest".
collect_ignore_glob = ["conftest.py", "*/conftest.py"]


@pytest.fixture(scope="session")
def root() -> Path:
    """The checkout's top folder."""
    return ROOT


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real data, or a counted skip."""
    folder = os.environ.get("TRUSTLIB_DATA")
    if not folder:
        pytest.skip("real data: set TRUSTLIB_DATA to a folder that holds it")
    return Path(folder)


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Any Chromium or Chrome of this machine, or Playwright's own; a counted skip where there is none."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="browser: the package playwright is missing")
    found = next(filter(None, map(shutil.which, NAMES)), MAC if Path(MAC).exists() else None)
    with sync_api.sync_playwright() as playwright:
        try:
            running = playwright.chromium.launch(executable_path=found, args=OPTIONS)
        except sync_api.Error as reason:
            if found:
                raise
            pytest.skip(f"browser: no Chromium or Chrome on this machine ({str(reason).splitlines()[0]})")
        yield running
        running.close()
