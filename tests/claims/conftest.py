"""A small claims file of two made-up papers, and samples that decide its claims."""

from __future__ import annotations

import copy

import pytest
import yaml

CLAIMS = {
    "claims": [
        {
            "id": "toy-1",
            "paper": "toy",
            "origin": "paper",
            "statement": "The method is better & <faster>, and sound.",
            "source": "Somebody 2024, Table 1",
            "reported": 1.5,
            "note": "Better means larger.",
            "status": "tested",
            "profiles": ["cpu", "quick"],
            "parts": [
                {
                    "name": "gain",
                    "statistic": "Accuracy of the method minus that of the baseline",
                    "unit": "seeds",
                    "interval": {"method": "t", "level": 0.95},
                    "rule": {"above": 0},
                    "reported": 0.2,
                },
                {
                    "name": "loss_ratio",
                    "statistic": "Worst loss divided by the promised one",
                    "unit": "settings",
                    "interval": {"method": "exact"},
                    "rule": {"at_most": 1},
                },
            ],
            "controls": [
                {"name": "shuffled", "statement": "Labels shuffled", "part": "gain", "must": "fail"},
                {"name": "broken", "statement": "Half the noise", "part": "loss_ratio", "must": "fail"},
            ],
        },
        {
            "id": "toy-2",
            "paper": "toy",
            "origin": "ours",
            "statement": "Most seeds show it.",
            "source": "This book",
            "reported": None,
            "status": "gpu_only",
            "reason": "The weights need 40 GB.",
            "profiles": ["gpu"],
            "parts": [
                {
                    "name": "seen",
                    "statistic": "Whether the test rejects",
                    "unit": "seeds",
                    "interval": {"method": "count", "total": 3},
                    "rule": {"at_least": 2},
                    "otherwise": "inconclusive",
                }
            ],
            "controls": [{"name": "null", "statement": "No effect", "part": "seen", "must": "fail"}],
        },
        {
            "id": "toy-3",
            "paper": "toy",
            "origin": "paper",
            "statement": "It was the first.",
            "source": "Somebody 2024",
            "reported": None,
            "status": "not_testable",
            "reason": "Priority is no experiment.",
        },
        {
            "id": "game-1",
            "paper": "game",
            "origin": "paper",
            "statement": "The order of play matters.",
            "source": "Somebody else 2024",
            "reported": "4.0",
            "status": "tested",
            "profiles": ["quick"],
            "parts": [
                {
                    "name": "difference",
                    "statistic": "First mover minus second mover",
                    "unit": "starts",
                    "interval": {"method": "bootstrap", "level": 0.95, "kind": "bca", "of": "mean"},
                    "rule": {"outside": [-0.1, 0.1]},
                }
            ],
            "controls": [
                {"name": "same_start", "statement": "Both start equal", "part": "difference", "must": "fail"}
            ],
        },
    ]
}

SAMPLES = {"gain": [0.1, 0.12, 0.11], "loss_ratio": [0.2, 0.9]}
CONTROLS = {"shuffled": [-0.01, 0.0, 0.01], "broken": [0.4, 1.8]}


@pytest.fixture
def content():
    """The parsed claims file, free to be spoiled."""
    return copy.deepcopy(CLAIMS)


@pytest.fixture
def write(tmp_path):
    """Write a claims file and return its path."""

    def write_claims(content, name="claims.yml"):
        file = tmp_path / name
        file.write_text(yaml.safe_dump(content, sort_keys=False, allow_unicode=True), "utf-8")
        return file

    return write_claims


@pytest.fixture
def path(content, write):
    """A valid claims file."""
    return write(content)


@pytest.fixture
def toy(path):
    """toy-1, supported."""
    from trustlib.claims import check

    return check("toy-1", SAMPLES, controls=CONTROLS, path=path)
