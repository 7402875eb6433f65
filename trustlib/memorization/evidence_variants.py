"""Samples for the claims that compare trainings: strengths, widths, decays, methods, seeds, penalties, privacy.

As in `trustlib.memorization.evidence`, rules stand in ``book/claims.yml`` and nothing is decided here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from trustlib.memorization.evidence import Evidence, Subsets
from trustlib.memorization.evidence_statistics import (
    N_BOOT,
    control_of,
    excess_replicates,
    halves,
    overlap_of_seeds,
    spearman,
)
from trustlib.memorization.layermem import LayerMem
from trustlib.memorization.studies import paired_difference
from trustlib.memorization.taps import VitBlock, vit_deltas

if TYPE_CHECKING:
    import pandas as pd

Floats = NDArray[np.float64]


def strengths(
    own: Mapping[str, Subsets], common: Mapping[str, Subsets], *, seed: int = 0, n_boot: int = N_BOOT
) -> Evidence:
    """Samples for memorization-6: does the excess fall with the strength of the augmentation?

    Args:
        own: subsets by strength, from weak to strong, each scored with the augmentation of its training.
        common: the same trainings scored with one augmentation.
        seed: of the bootstrap.
        n_boot: replicates.
    """
    falling = {letter: _monotone(-_gaps(own, letter)) for letter in "CS"}
    first, *_, last = common.values()
    return Evidence(
        {
            "own_augmentation": falling["C"],
            "common_augmentation": _difference(first, last, "C", seed, n_boot),
        },
        {
            "shared_points": _difference(first, last, "S", seed, n_boot),
            "shared_points_own": falling["S"],
        },
    )


def widths(scores: Mapping[int, Subsets]) -> Evidence:
    """Samples for memorization-7: does the excess of every pair rise with the width?

    Args:
        scores: subsets by width.
    """
    ordered = {width: scores[width] for width in sorted(scores)}
    return Evidence(
        {"width": _monotone(_gaps(ordered, "C"))}, {"shared_points": _monotone(_gaps(ordered, "S"))}
    )


def removal(frame: pd.DataFrame) -> Evidence:
    """Samples for memorization-8: accuracy without random points minus without the most memorized ones.

    Args:
        frame: columns arm, seed, value; arms "top" and "random_matched", and "shuffled_top" and
            "shuffled_matched", where the scores belong to other points.
    """
    return Evidence(
        {"accuracy_gap": paired_difference(frame, arm="random_matched", baseline="top")},
        {"shuffled_scores": paired_difference(frame, arm="shuffled_matched", baseline="shuffled_top")},
    )


def less_memorization(
    before: Subsets,
    after: Subsets,
    control: Subsets,
    accuracy: pd.DataFrame,
    *,
    part: str,
    control_name: str,
    seed: int = 0,
    n_boot: int = N_BOOT,
) -> Evidence:
    """Samples for memorization-9 and -10: excess and accuracy before minus after a change of the training.

    Args:
        before: subsets C and E without the change.
        after: the same points with the change.
        control: the same points under a change that is not the one in question.
        accuracy: columns arm ("before", "after"), labels ("true", "permuted"), seed, value.
        part: name of the statistic on the excess.
        control_name: name of its control.
        seed: of the bootstrap.
        n_boot: replicates.
    """
    return Evidence(
        {part: _difference(before, after, "C", seed, n_boot), "accuracy": _accuracy_loss(accuracy, "true")},
        {
            control_name: _difference(before, control, "C", seed, n_boot),
            "permuted_labels": _accuracy_loss(accuracy, "permuted"),
        },
    )


def decays(
    scores: Mapping[float, Subsets], accuracy: pd.DataFrame, *, seed: int = 0, n_boot: int = N_BOOT
) -> Evidence:
    """Samples for memorization-27: excess and accuracy at the smallest weight decay minus at the largest.

    Args:
        scores: subsets C, S and E by weight decay.
        accuracy: as in `less_memorization`, "before" being the smallest decay and "after" the largest.
        seed: of the bootstrap.
        n_boot: replicates.
    """
    small, large = scores[min(scores)], scores[max(scores)]
    return Evidence(
        {
            "memorization": _difference(small, large, "C", seed, n_boot),
            "accuracy": _accuracy_loss(accuracy, "true"),
        },
        {
            "shared_points": _difference(small, large, "S", seed, n_boot),
            "permuted_labels": _accuracy_loss(accuracy, "permuted"),
        },
    )


def branches(table: LayerMem, blocks: Sequence[VitBlock]) -> Evidence:
    """Samples for memorization-13: what fully-connected branches add minus what attention adds, per pair.

    Args:
        table: at all layers of the blocks, external points as control.
        blocks: of the transformer; the first has no block before it and does not count.
    """
    one, other = halves(control_of(table))
    return Evidence(
        {"fc_minus_attention": _branch_gaps(table, blocks)},
        {"external_points": _branch_gaps(LayerMem(table.layers, one, other), blocks)},
    )


def profiles(
    first: LayerMem, second: LayerMem, untrained: LayerMem, *, seed: int = 0, n_boot: int = N_BOOT
) -> Evidence:
    """Samples for memorization-14: rank correlation over layers of the excess of two methods.

    Args:
        first: of one method.
        second: of another, on the same layers.
        untrained: of two untrained networks in place of f and g.
        seed: of the bootstrap.
        n_boot: replicates.
    """
    one, other, null = (t.bootstrap(n_boot=n_boot, seed=seed) for t in (first, second, untrained))
    return Evidence({"profile_correlation": spearman(one, other)}, {"untrained_pair": spearman(one, null)})


def seeds(candidates: Floats, external: Floats) -> Evidence:
    """Samples for memorization-26: overlap of the most memorized fifth between trainings.

    Args:
        candidates: scores of the same candidates (trainings, points).
        external: of external points, every training scored with draws of its own.
    """
    return Evidence(
        {"overlap": overlap_of_seeds(candidates)}, {"external_points": overlap_of_seeds(external)}
    )


def _gaps(scores: Mapping[Any, Subsets], letter: str) -> Floats:
    """Mean of a subset minus mean of the external points, (conditions, pairs)."""
    return np.stack([s[letter].mean(axis=1) - s["E"].mean(axis=1) for s in scores.values()])


def _monotone(gaps: Floats) -> Floats:
    """1 for every pair (column) whose gaps rise strictly from row to row."""
    return np.asarray((np.diff(gaps, axis=0) > 0).all(axis=0), dtype=np.float64)


def _difference(first: Subsets, second: Subsets, letter: str, seed: int, n_boot: int) -> Floats:
    """Replicates of the gap of a subset in one condition minus in another, on the same points."""
    upper, lower = (np.stack([first[name], second[name]], axis=1) for name in (letter, "E"))
    drawn = excess_replicates(upper, lower, seed=seed, n_boot=n_boot)
    return drawn[:, 0] - drawn[:, 1]


def _accuracy_loss(accuracy: pd.DataFrame, labels: str) -> Floats:
    """Accuracy before minus after, paired by seed."""
    rows = accuracy[accuracy["labels"] == labels]
    return paired_difference(rows, arm="before", baseline="after")


def _branch_gaps(table: LayerMem, blocks: Sequence[VitBlock]) -> Floats:
    """Mean over blocks of delta_fc - delta_attention, per pair."""
    control, found = control_of(table), []
    for run in range(len(table.scores)):
        one = LayerMem(table.layers, table.scores[run : run + 1], control[run : run + 1])
        rows = vit_deltas(one, blocks)
        found.append(
            float((rows["delta_fc"] - rows["delta_attention"]).mean())
        )  # nan of the first block is left out
    return np.array(found)
