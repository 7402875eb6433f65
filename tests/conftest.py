"""Shared set-up of the whole suite: quiet, offline, deterministic, and counted skips."""

from __future__ import annotations

import os
from pathlib import Path

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
