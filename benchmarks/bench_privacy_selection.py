"""The exponential mechanism for many selections at once against one selection at a time.

Run: python benchmarks/bench_privacy_selection.py
Prints seconds and ratios; every way draws from the same law, which is checked before it is timed.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
from scipy.special import softmax

from trustlib.privacy import exponential_mechanism

SETTINGS = {"epsilon": 1.0, "sensitivity": 1.0, "monotone": True}


def one_by_one(scores: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """One call of the library per row."""
    return np.array([exponential_mechanism(row, **SETTINGS, rng=rng) for row in scores])


def by_softmax(scores: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The textbook loop: probabilities of a row, then one draw."""
    return np.array([rng.choice(row.size, p=softmax(row)) for row in scores])


def at_once(scores: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """All rows in one call."""
    return exponential_mechanism(scores, **SETTINGS, rng=rng)


def seconds(way: Callable[..., np.ndarray], scores: np.ndarray, repeats: int = 5) -> float:
    """Best of a few runs."""
    found = []
    for seed in range(repeats):
        rng = np.random.default_rng(seed)
        start = time.perf_counter()
        way(scores, rng)
        found.append(time.perf_counter() - start)
    return min(found)


def same_law() -> None:
    """All ways select the better of two candidates with probability 3/4, within five standard errors."""
    scores = np.tile(np.log([1.0, 3.0]), (20_000, 1))
    for way in (at_once, one_by_one, by_softmax):
        share = way(scores, np.random.default_rng(0)).mean()
        if abs(share - 0.75) > 5 * (0.75 * 0.25 / 20_000) ** 0.5:
            raise SystemExit(f"{way.__name__} selects with probability {share}, not 0.75")


def main() -> None:
    """Time the three ways on a few shapes."""
    same_law()
    print(f"{'rows':>7} {'candidates':>11} {'at once (s)':>12} {'call a row':>11} {'softmax loop':>13}")
    for rows, candidates in ((10_000, 10), (10_000, 100), (1_000, 1_000), (100, 20_000)):
        scores = np.random.default_rng(1).normal(size=(rows, candidates))
        fast = seconds(at_once, scores)
        slow, textbook = (seconds(way, scores, repeats=2) / fast for way in (one_by_one, by_softmax))
        print(f"{rows:>7} {candidates:>11} {fast:>12.4f} {slow:>10.1f}x {textbook:>12.1f}x")


if __name__ == "__main__":
    main()
