"""A private fit of a million records from blocks against the same fit from memory: seconds, peak memory, agreement.

Run: python benchmarks/bench_pdp_op_blocks.py
Each fit runs in a process of its own, so that the peak is its own. Records are drawn while they are read, in the same
way for both; the time that drawing takes is measured alone and subtracted from the fit by blocks.
"""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np

ROWS, COLUMNS, BLOCK = 1_000_000, 50, 50_000

CODE = """
import json, resource, sys, time
import numpy as np
from trustlib.pdp_op import PersonalizedRidge

way, n, d, block = sys.argv[1], *map(int, sys.argv[2:])
theta = np.random.default_rng(0).standard_normal(d) / d

def blocks():
    for start in range(0, n, block):
        rng = np.random.default_rng([1, start])
        X = rng.random((block, d))
        yield X, np.clip(X @ theta, -1, 1), rng.uniform(0.01, 1, block)

model = PersonalizedRidge(0.1, x_norm=d**0.5, y_bound=1.0, random_state=0)
if way == "blocks":
    start = time.perf_counter()
    for _ in blocks():
        pass
    drawing = time.perf_counter() - start
    start = time.perf_counter()
    model.fit_blocks(blocks())
    seconds = time.perf_counter() - start - drawing
else:
    X, y, level = np.empty((n, d)), np.empty(n), np.empty(n)
    for k, part in enumerate(blocks()):
        for whole, piece in zip((X, y, level), part):
            whole[k * block : (k + 1) * block] = piece
    start = time.perf_counter()
    model.fit(X, y, epsilon=level)
    seconds = time.perf_counter() - start
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
print(json.dumps({"seconds": seconds, "peak": peak, "coef": model.coef_.tolist()}))
"""


def run(way: str) -> dict:
    """The fit in a fresh process."""
    arguments = [sys.executable, "-c", CODE, way, str(ROWS), str(COLUMNS), str(BLOCK)]
    return json.loads(subprocess.run(arguments, check=True, capture_output=True, text=True).stdout)


def main() -> None:
    """Both ways, their agreement and their ratios."""
    memory, blocks = run("memory"), run("blocks")
    apart = np.linalg.norm(np.subtract(memory["coef"], blocks["coef"])) / np.linalg.norm(memory["coef"])
    if apart > 1e-9:
        raise SystemExit(f"the two releases differ by {apart:.1e}")
    print(f"fit of {ROWS} x {COLUMNS}; the releases agree to {apart:.0e}")
    for name, found in (("from memory", memory), (f"by blocks of {BLOCK}", blocks)):
        print(f"  {name:<18} {found['seconds']:6.2f} s, peak {found['peak'] / 1e9:.2f} GB")
    print(
        f"  ratios             {blocks['seconds'] / memory['seconds']:6.2f} x the time, "
        f"{blocks['peak'] / memory['peak']:.2f} x the memory"
    )


if __name__ == "__main__":
    main()
