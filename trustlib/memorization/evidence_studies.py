"""Measurements behind the claims: trains what a comparison needs, scores it, and returns arrays and tables."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, get_args

import numpy as np
from numpy.typing import NDArray

from trustlib.memorization.atypicality import pixel_atypicality
from trustlib.memorization.comparison import bootstrap_difference
from trustlib.memorization.distances import Distance
from trustlib.memorization.evidence_statistics import layers_at
from trustlib.memorization.intervention_evidence import ProbeData
from trustlib.memorization.layermem import LayerMem, layermem
from trustlib.memorization.pairs import EncoderPair, Job, PairPlan, job_on, jobs_of, map_workers
from trustlib.memorization.pairs_altered import Privacy, privacy_of, train_penalized, train_private
from trustlib.memorization.pairs_scores import as_tensor, layer_scores, score_pairs, subset_arrays
from trustlib.memorization.pairs_study import Study
from trustlib.memorization.scores import sslmem_from_alignment
from trustlib.memorization.splits import RemovalSet, removal_sets
from trustlib.memorization.sslmem import sslmem

if TYPE_CHECKING:
    import pandas as pd
    from torch import nn

Floats = NDArray[np.float64]
REMOVED = 4  # one in four points leaves the pool
REFERENCE = 2000  # typical images that atypicality is measured against, at most


def subsets_of(
    study: Study, pairs: Sequence[EncoderPair], augment: Any, **settings: Any
) -> dict[str, Floats]:
    """Ratio scores by subset; settings as for `score_pairs`."""
    return subset_arrays(score_pairs(pairs, study.pool, augment, **settings))


def excess_by_method(scores: Mapping[str, Mapping[str, Floats]]) -> pd.DataFrame:
    """Excess of the first pair of every method with its bootstrap interval over points.

    Args:
        scores: subsets C and E by method.

    Returns:
        Columns excess, low and high, one row per method.

    Example:
        >>> one, other = np.ones((1, 3)), np.zeros((1, 3))
        >>> excess_by_method({"a": {"C": one, "E": other}}).loc["a"].tolist()
        [1.0, 1.0, 1.0]
    """
    import pandas as pd

    rows = {}
    for name, subsets in scores.items():
        candidates, external = subsets["C"][0], subsets["E"][0]
        rows[name] = [candidates.mean() - external.mean(), *bootstrap_difference(candidates, external)]
    return pd.DataFrame.from_dict(rows, orient="index", columns=["excess", "low", "high"])


def excess_by_step(scores: Mapping[int, Mapping[str, Floats]], steps_per_epoch: float) -> pd.DataFrame:
    """Excess at every checkpoint with its bootstrap interval over encoder pairs and points.

    Args:
        scores: subsets C and E by step of training.
        steps_per_epoch: > 0.

    Returns:
        Columns epoch, excess, low, high, external (mean score of the external points).
    """
    import pandas as pd

    rows = []
    for step in sorted(scores):
        candidates, external = scores[step]["C"], scores[step]["E"]
        low, high = bootstrap_difference(candidates, external)
        rows.append({
            "epoch": step / steps_per_epoch,
            "excess": float(candidates.mean() - external.mean()),
            "low": low,
            "high": high,
            "external": float(external.mean()),
        })  # fmt: skip
    return pd.DataFrame(rows)


def atypicality_of(study: Study, pairs: Sequence[EncoderPair]) -> dict[str, Floats]:
    """Atypicality of the candidates and external points of every pair, against its shared points."""
    found: dict[str, list[Floats]] = {"C": [], "E": []}
    for pair in pairs:
        typical = study.pool.pixels[pair.split.shared[:REFERENCE]]
        found["C"].append(pixel_atypicality(study.pool.pixels[pair.split.candidate], typical))
        found["E"].append(pixel_atypicality(study.pool.external, typical))
    return {name: np.stack(rows) for name, rows in found.items()}


def distance_tables(
    study: Study, pairs: Sequence[EncoderPair], augment: Any, layers: Sequence[str], **settings: Any
) -> dict[str, LayerMem]:
    """LayerMem under every distance; settings as for `layer_scores`."""
    return {
        name: layer_scores(pairs, study.pool, augment, layers, distance=name, **settings)
        for name in get_args(Distance)
    }


def independent_draws(
    study: Study,
    pairs: Sequence[EncoderPair],
    augment: Any,
    layers: Sequence[str],
    *,
    n_views: int,
    seed: int,
) -> Floats:
    """Scores of external points (pairs, layers, points), every layer with augmentation draws of its own."""
    shown = study.pool.external[: len(study.pool.external) // 2]
    tables = []
    for number in range(len(layers)):
        runs = [
            layermem(
                pair.f, pair.g, as_tensor(shown), augment, layers=layers, n_views=n_views, pairing="all",
                normalize=True, seed=seed + number, index=study.pool.external_index[: len(shown)],
            ).scores
            for pair in pairs
        ]  # fmt: skip
        tables.append(LayerMem(tuple(layers), np.concatenate(runs), np.concatenate(runs)))
    return layers_at(tables)


def scores_by_run(
    study: Study, pairs: Sequence[EncoderPair], augment: Any, *, n_views: int, seed: int, subsets: str
) -> dict[str, Floats]:
    """Scores of subsets (pairs, points), every pair with augmentation draws of its own, ``subsets`` as letters."""
    found = [
        subsets_of(study, [pair], augment, n_views=n_views, seed=seed + number, subsets=subsets)
        for number, pair in enumerate(pairs)
    ]
    return {letter: np.concatenate([run[letter] for run in found]) for letter in subsets}


def untrained(pairs: Sequence[EncoderPair], study: Study) -> list[EncoderPair]:
    """The same splits with two untrained networks of different seeds in place of f and g."""
    from trustlib.encoders import backbone

    recipe, size = study.recipe, study.pool.pixels.shape[2]

    def fresh(seed: int) -> nn.Module:
        return backbone(
            recipe.backbone, size=size, channels=study.pool.pixels.shape[1], seed=seed, norm=recipe.norm,
            stem=recipe.stem, options=recipe.backbone_options,
        ).eval()  # fmt: skip

    return [EncoderPair(fresh(2 * n), fresh(2 * n + 1), pair.split) for n, pair in enumerate(pairs)]


def accuracies(encoders: Sequence[nn.Module], probe: ProbeData) -> Floats:
    """Accuracy of a linear probe on every encoder."""
    return np.array([probe.accuracy(encoder) for encoder in encoders])


def matched(
    first: Sequence[EncoderPair], second: Sequence[EncoderPair], probe: ProbeData
) -> tuple[list[EncoderPair], list[EncoderPair], tuple[float, float]]:
    """Pairs of two methods at similar probe accuracy: the better method goes back to an earlier snapshot.

    Args:
        first: of one method, with snapshots.
        second: of another, with snapshots.
        probe: measures the f of every pair.

    Returns:
        Both lists, one of them as it was earlier, and their mean accuracies.
    """
    final = [float(accuracies([p.f for p in pairs], probe).mean()) for pairs in (first, second)]
    better = int(final[1] > final[0])
    pairs, goal = ((first, second)[better], final[1 - better])
    steps = sorted(pairs[0].snapshots)
    reached = {step: float(accuracies([p.at(step).f for p in pairs], probe).mean()) for step in steps}
    step = min(steps, key=lambda s: abs(reached[s] - goal))
    earlier = [pair.at(step) for pair in pairs]
    if better == 0:
        return earlier, list(second), (reached[step], final[1])
    return list(first), earlier, (final[0], reached[step])


def accuracy_change(
    before: Sequence[nn.Module], after: Sequence[nn.Module], probe: ProbeData, *, seed: int = 0
) -> pd.DataFrame:
    """Probe accuracy of two kinds of encoders, with the labels and with permuted ones.

    Args:
        before: one encoder per seed.
        after: one per seed, trained otherwise.
        probe: its labels are permuted for the control, those for training and those for testing.
        seed: of the permutations, one per pair of encoders and common to both.

    Returns:
        Columns arm ("before", "after"), labels ("true", "permuted"), seed, value.
    """
    import pandas as pd

    rows = []
    for number, both in enumerate(zip(before, after, strict=True)):
        rng = np.random.default_rng([seed, number])
        mixed = dataclasses.replace(
            probe, labels=rng.permutation(np.asarray(probe.labels)),
            test_labels=rng.permutation(np.asarray(probe.test_labels)),
        )  # fmt: skip
        for arm, encoder in zip(("before", "after"), both, strict=True):
            for labels, data in (("true", probe), ("permuted", mixed)):
                rows.append({"arm": arm, "labels": labels, "seed": number, "value": data.accuracy(encoder)})
    return pd.DataFrame(rows)


def penalized_pairs(study: Study, weight: float) -> list[EncoderPair]:
    """The study's pairs, trained with the alignment penalty.

    Args:
        study: whose recipe, splits and seeds are used.
        weight: of the penalty, in [0, 1).
    """
    return _altered(study, study.plans(), functools.partial(train_penalized, weight=weight))


def private_pairs(
    study: Study, recipe: Any, *, epsilon: float, delta: float, clip_norm: float
) -> tuple[list[EncoderPair], Privacy]:
    """Pairs of a recipe with a loss per image, trained by DP-SGD, and what the training promises.

    Args:
        study: whose splits and seeds are used.
        recipe: see `train_private`.
        epsilon: nats; inf clips without noise.
        delta: in (0, 1).
        clip_norm: > 0.
    """
    plans = study.plans(recipe)
    privacy = privacy_of(jobs_of(plans[0], study.pool)[0], epsilon=epsilon, delta=delta, clip_norm=clip_norm)
    return _altered(study, plans, functools.partial(train_private, privacy=privacy)), privacy


def _altered(study: Study, plans: Sequence[PairPlan], train: Any) -> list[EncoderPair]:
    """Pairs trained by another function; nothing is kept on disk."""
    jobs = [job for plan in plans for job in jobs_of(plan, study.pool)]
    encoders = map_workers(train, jobs, workers=study.workers, progress=study.progress) or []
    return [EncoderPair(encoders[2 * n], encoders[2 * n + 1], plan.split) for n, plan in enumerate(plans)]


def removal_frame(study: Study, augment: Any, *, n_views: int, seed: int) -> pd.DataFrame:
    """Trains on half of the pool without a quarter of it, chosen by score or at random, and probes.

    Scores of half A come from an encoder trained on A against one trained on the other half. All arms take equally
    many steps; the random arms remove as many points of every class as the arm that they belong to.

    Args:
        study: its pool needs labels.
        augment: of training and scoring.
        n_views: see `score_pairs`.
        seed: of halves, views and random arms.

    Returns:
        Columns arm ("all", "top", "bottom", "random_matched", "shuffled_top", "shuffled_matched"), seed, value.
    """
    import pandas as pd

    seeds = range(len(study.splits))
    cuts = [np.random.default_rng([seed, s]).permutation(len(study.pool)) for s in seeds]
    recipes = [dataclasses.replace(study.recipe, seed=study.recipe.seed + s) for s in seeds]
    sides = [(np.sort(cut[: len(cut) // 2]), np.sort(cut[len(cut) // 2 :])) for cut in cuts]
    both = [
        job_on(recipe, study.pool, side) for recipe, pair in zip(recipes, sides, strict=True) for side in pair
    ]
    trained = study.train_jobs(both)
    jobs: list[Job] = []
    names: list[tuple[str, int]] = []
    for s in seeds:
        one, other = (run.encoder for run in trained[2 * s : 2 * s + 2])
        points = sides[s][0]
        scores = _half_scores(study, one, other, points, augment, n_views=n_views, seed=seed + s)
        for arm, kept in _removal_arms(study, scores, points, seed=seed + s).items():
            jobs.append(job_on(recipes[s], study.pool, kept))
            names.append((arm, s))
    values = accuracies([run.encoder for run in study.train_jobs(jobs)], study.probe)
    whole = accuracies([trained[2 * s].encoder for s in seeds], study.probe)
    rows = [{"arm": arm, "seed": s, "value": v} for (arm, s), v in zip(names, values, strict=True)]
    rows += [{"arm": "all", "seed": s, "value": v} for s, v in zip(seeds, whole, strict=True)]
    return pd.DataFrame(rows)


def _half_scores(
    study: Study,
    f: nn.Module,
    g: nn.Module,
    points: NDArray[np.int64],
    augment: Any,
    *,
    n_views: int,
    seed: int,
) -> Floats:
    """Ratio scores of points that f was trained on and g was not."""
    found = sslmem(
        f, g, as_tensor(study.pool.pixels[points]), augment, n_views=n_views, normalize=True, seed=seed, index=points
    )  # fmt: skip
    return sslmem_from_alignment(found.align_f, found.align_g, normalization="ratio")


def _removal_arms(
    study: Study, scores: Floats, points: NDArray[np.int64], *, seed: int
) -> Mapping[str, NDArray[np.int64]]:
    """Points that stay, by arm."""
    if study.pool.labels is None:
        raise ValueError("removal matches classes, so the pool needs labels")
    rng = np.random.default_rng([seed, 8])
    k, labels = len(points) // REMOVED, study.pool.labels[points]
    arms: dict[str, RemovalSet] = {}
    for prefix, values in (("", scores), ("shuffled_", rng.permutation(scores))):
        for found in removal_sets(values, [k], labels=labels, n_random=1, seed=seed):
            arms[prefix + found.arm] = found
    wanted = {
        "top": "top", "bottom": "bottom", "random_matched": "random_matched", "shuffled_top": "shuffled_top",
        "shuffled_matched": "shuffled_random_matched",
    }  # fmt: skip
    return {name: points[arms[arm].kept] for name, arm in wanted.items()}
