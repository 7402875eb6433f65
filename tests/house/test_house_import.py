"""`import trustlib` and the rooms start nothing: no heavy import, no seed, no plot style, no download."""

from __future__ import annotations

import json
import subprocess
import sys

PROBE = """
import json, sys
{line}
print(json.dumps(sorted({{name.split(".")[0] for name in sys.modules}})))
"""


def loaded_by(line: str) -> set[str]:
    run = subprocess.run(
        [sys.executable, "-c", PROBE.format(line=line)], capture_output=True, text=True, check=True
    )
    return set(json.loads(run.stdout))


def test_import_trustlib_is_light():
    heavy = {"torch", "pandas", "matplotlib", "seaborn", "sklearn", "scipy", "numpy", "papermill", "sphinx"}
    assert not heavy & loaded_by("import trustlib")


def test_command_line_help_is_light():
    line = "import trustlib.runs.cli"
    assert not {"torch", "matplotlib", "sklearn", "papermill", "sphinx"} & loaded_by(line)


def test_ground_floor_imports_leave_random_state_and_style_alone():
    line = (
        "import numpy as np, matplotlib, random\n"
        "before = (np.random.get_state()[1].tolist(), dict(matplotlib.rcParams), random.getstate())\n"
        "import trustlib.privacy, trustlib.data, trustlib.claims, trustlib.plotting, trustlib.pdp_op\n"
        "after = (np.random.get_state()[1].tolist(), dict(matplotlib.rcParams), random.getstate())\n"
        "assert before == after"
    )
    loaded_by(line)
