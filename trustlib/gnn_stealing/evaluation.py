"""How good a stolen model is: does it know the classes, and does it say what the target says?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from trustlib.gnn_stealing.checks import check_edges, check_labels, inside, one_of, whole
from trustlib.gnn_stealing.outputs import target_labels
from trustlib.gnn_stealing.splits import as_data

if TYPE_CHECKING:
    import pandas as pd

Predictor = Callable[[Any], Tensor] | nn.Module | Tensor
Interval = Literal["components", "nodes"]
CELLS = 4_000_000  # counts of the bootstrap held at once


@dataclass(frozen=True)
class StealingReport:
    """Accuracy and fidelity of a stolen model, as shares of the test nodes in [0, 1].

    Args:
        n: test nodes.
        accuracy: says the true class.
        fidelity: says the target's class.
        target_accuracy: the target says the true class.
        fidelity_on_correct: fidelity where the target is right; NaN if it never is.
        fidelity_on_errors: fidelity where the target is wrong: agreement that knowing the classes does not explain.
            NaN if it never is.
        chance_agreement: fidelity of two models with the same class frequencies and nothing else in common.
        kappa: (fidelity - chance_agreement) / (1 - chance_agreement), Cohen's kappa; NaN where chance explains all.
        ci: interval of the fidelity.
        accuracy_ci: interval of the accuracy.
        interval: "components" or "nodes": what was drawn with replacement.
        clusters: how many of them there are.
        largest_cluster: share of the test nodes in the largest one. Near 1, an interval over components rests on very
            few independent units: use several splits.
    """

    n: int
    accuracy: float
    fidelity: float
    target_accuracy: float
    fidelity_on_correct: float
    fidelity_on_errors: float
    chance_agreement: float
    kappa: float
    ci: tuple[float, float]
    accuracy_ci: tuple[float, float]
    interval: Interval
    clusters: int
    largest_cluster: float

    def to_frame(self) -> pd.DataFrame:
        """One row, intervals as two columns each."""
        import pandas as pd

        row = asdict(self)
        for name in ("ci", "accuracy_ci"):
            row[f"{name}_low"], row[f"{name}_high"] = row.pop(name)
        return pd.DataFrame([row])


def evaluate_stealing(
    predict: Predictor,
    target_predict: Predictor,
    data: Any,
    *,
    interval: Interval = "components",
    confidence: float = 0.95,
    n_boot: int = 1000,
    seed: int = 0,
) -> StealingReport:
    """Compare a stolen model with its target and with the truth, by the value of the class.

    accuracy = mean 1[s(v) = y_v], fidelity = mean 1[s(v) = t(v)], chance_agreement = sum_c P(s = c) P(t = c).

    Args:
        predict: the stolen model: a function from the graph to classes (n,), a module with logits, or the classes.
        target_predict: the target, likewise.
        data: the test graph with x, edge_index and true classes y.
        interval: percentile bootstrap over "components", connected parts of the graph, because neighbours share errors;
            or over "nodes", which is too narrow where they do.
        confidence: of both intervals, in (0, 1).
        n_boot: replicates, >= 1.
        seed: of the replicates.

    Returns:
        The report.

    Raises:
        TypeError, ValueError: no graph or one class only, predictions that are not one whole number per node, or a
            number outside its range.

    Example:
        >>> from types import SimpleNamespace
        >>> y, edge_index = torch.tensor([0, 0, 1, 1]), torch.tensor([[0], [1]])
        >>> data = SimpleNamespace(x=torch.zeros(4, 1), edge_index=edge_index, y=y)
        >>> report = evaluate_stealing(torch.tensor([0, 1, 1, 1]), torch.tensor([0, 1, 1, 0]), data)
        >>> report.accuracy, report.fidelity, report.target_accuracy
        (0.75, 0.75, 0.5)
        >>> report.fidelity_on_correct, report.fidelity_on_errors, report.chance_agreement, report.kappa
        (1.0, 0.5, 0.5, 0.5)

    Source: Podhajski et al. (ECAI 2024) for accuracy and fidelity. Deviation: their code compares columns of two
        classifiers, which differ where the query set lacks a class; here classes are compared.
    """
    one_of("interval", interval, ("components", "nodes"))
    data = as_data(data)
    truth = check_labels(data).cpu().numpy()
    stolen = predicted_classes(predict, data, "predict")
    target = predicted_classes(target_predict, data, "target_predict")
    group = (
        connected_components(data.edge_index, len(truth))
        if interval == "components"
        else np.arange(len(truth))
    )
    agree, right, known = stolen == target, stolen == truth, target == truth
    draws = bootstrap_means(np.stack([agree, right]), group, n_boot=n_boot, seed=seed)
    low, high = _quantiles(draws, confidence)
    chance = _chance(stolen, target)
    fidelity = float(agree.mean())
    return StealingReport(
        n=len(truth),
        accuracy=float(right.mean()),
        fidelity=fidelity,
        target_accuracy=float(known.mean()),
        fidelity_on_correct=float(agree[known].mean()) if known.any() else float("nan"),
        fidelity_on_errors=float(agree[~known].mean()) if not known.all() else float("nan"),
        chance_agreement=chance,
        kappa=(fidelity - chance) / (1 - chance) if chance < 1 else float("nan"),
        ci=(float(low[0]), float(high[0])),
        accuracy_ci=(float(low[1]), float(high[1])),
        interval=interval,
        clusters=int(group.max()) + 1,
        largest_cluster=float(np.bincount(group).max() / len(truth)),
    )


@dataclass(frozen=True)
class AttackComparison:
    """Two attacks on the same test nodes, measured against the same reference classes.

    Args:
        first: share of nodes on which the first one says the reference class.
        second: the same of the second one.
        difference: first - second.
        ci: paired bootstrap interval of the difference.
        only_first: nodes that only the first one gets.
        only_second: nodes that only the second one gets.
        p_value: exact McNemar test, two-sided; it takes nodes for independent.
        clusters: units of the bootstrap.
    """

    first: float
    second: float
    difference: float
    ci: tuple[float, float]
    only_first: int
    only_second: int
    p_value: float
    clusters: int


def compare_attacks(
    first: Tensor,
    second: Tensor,
    reference: Tensor,
    *,
    edge_index: Tensor | None = None,
    confidence: float = 0.95,
    n_boot: int = 1000,
    seed: int = 0,
) -> AttackComparison:
    """Whether one attack agrees with the reference more often than another, on the same nodes.

    McNemar: of the b + c nodes that exactly one of them gets, the first gets b; p = P(|B - (b + c) / 2| >=
    |b - (b + c) / 2|) for B ~ Binomial(b + c, 1/2). It is one training run each: claims about methods need seeds.

    Args:
        first: classes that the first attack says, shape (n,).
        second: classes that the second one says.
        reference: the target's classes (fidelity) or the true ones (accuracy).
        edge_index: edges between the nodes; the bootstrap then draws connected components, otherwise nodes.
        confidence: of the interval, in (0, 1).
        n_boot: replicates, >= 1.
        seed: of the replicates.

    Returns:
        The comparison.

    Raises:
        TypeError, ValueError: lengths that differ, no nodes, bad edges or a number outside its range.

    Example:
        >>> a, b = torch.tensor([1, 1, 1, 1, 0]), torch.tensor([1, 0, 0, 0, 1])
        >>> found = compare_attacks(a, b, torch.ones(5, dtype=torch.long))
        >>> found.only_first, found.only_second, found.p_value  # 2 (1 + 4) / 16
        (3, 1, 0.625)

    Source: McNemar (1947); the paired bootstrap is ours.
    """
    from scipy.stats import binomtest

    size = {len(x) for x in (first, second, reference)}
    if len(size) != 1 or 0 in size:
        raise ValueError(
            f"first, second and reference must have one class per node and at least one node, got {len(first)}, "
            f"{len(second)} and {len(reference)}."
        )
    n = len(reference)
    hits = torch.stack([first == reference, second == reference]).cpu().numpy()
    group = np.arange(n) if edge_index is None else connected_components(edge_index, n)
    draws = bootstrap_means(hits, group, n_boot=n_boot, seed=seed)
    low, high = _quantiles(draws[:, :1] - draws[:, 1:], confidence)
    only_first, only_second = int((hits[0] & ~hits[1]).sum()), int((hits[1] & ~hits[0]).sum())
    discordant = only_first + only_second
    return AttackComparison(
        first=float(hits[0].mean()),
        second=float(hits[1].mean()),
        difference=float(hits[0].mean() - hits[1].mean()),
        ci=(float(low[0]), float(high[0])),
        only_first=only_first,
        only_second=only_second,
        p_value=float(binomtest(only_first, discordant).pvalue) if discordant else 1.0,
        clusters=int(group.max()) + 1,
    )


def connected_components(edge_index: Tensor, num_nodes: int) -> NDArray[np.int64]:
    """Number of the connected component of every node, directions ignored, shape (N,), from 0.

    Args:
        edge_index: shape (2, E).
        num_nodes: N >= 1.

    Raises:
        TypeError, ValueError: bad edges.

    Example:
        >>> connected_components(torch.tensor([[0], [2]]), 4).tolist()
        [0, 1, 0, 2]
    """
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components as components

    row, col = check_edges(edge_index, num_nodes=whole("num_nodes", num_nodes, least=1)).cpu().numpy()
    graph = coo_matrix((np.ones(len(row), dtype=np.int8), (row, col)), shape=(num_nodes, num_nodes))
    labels: NDArray[np.int64] = components(graph, directed=False)[1].astype(np.int64)
    return labels


def bootstrap_means(
    values: NDArray[Any], group: NDArray[np.int64], *, n_boot: int, seed: int
) -> NDArray[np.float64]:
    """Means over resampled groups: every replicate draws as many groups as there are, with replacement.

    Args:
        values: one row per quantity, shape (m, n); all rows share the draws, so differences stay paired.
        group: number of the group of every column, shape (n,), 0 to G - 1, each with at least one column.
        n_boot: replicates, >= 1.
        seed: of the draws.

    Returns:
        Means over the drawn columns, shape (n_boot, m).

    Raises:
        TypeError, ValueError: n_boot < 1 or a seed < 0.

    Example:
        >>> bootstrap_means(np.ones((1, 3)), np.array([0, 0, 1]), n_boot=2, seed=0).tolist()
        [[1.0], [1.0]]
    """
    whole("n_boot", n_boot, least=1)
    rng = np.random.default_rng(whole("seed", seed, least=0))
    count = int(group.max()) + 1
    sums = np.stack(
        [np.bincount(group, weights=row, minlength=count) for row in values.astype(np.float64)], axis=1
    )
    sizes = np.bincount(group, minlength=count).astype(np.float64)
    parts, step = [], max(1, CELLS // count)
    for start in range(0, n_boot, step):
        drawn = rng.multinomial(count, np.full(count, 1 / count), size=min(step, n_boot - start))
        parts.append((drawn @ sums) / (drawn @ sizes)[:, None])
    return np.concatenate(parts)


def predicted_classes(predict: Predictor, data: Any, name: str) -> NDArray[np.int64]:
    """Classes (n,) of a function, a module or a tensor; or an error that names the argument."""
    if isinstance(predict, Tensor):
        classes = predict
    else:
        classes = target_labels(predict, data) if isinstance(predict, nn.Module) else predict(data)
    n = data.x.shape[0]
    if not isinstance(classes, Tensor) or classes.shape != (n,) or classes.is_floating_point():
        came = (
            f"{classes.dtype} {tuple(classes.shape)}"
            if isinstance(classes, Tensor)
            else type(classes).__name__
        )
        raise ValueError(
            f"{name} must give one whole number for each of the {n} nodes, got {came}. Take argmax of logits."
        )
    return classes.cpu().numpy().astype(np.int64)


def _chance(a: NDArray[np.int64], b: NDArray[np.int64]) -> float:
    """Probability that two independent draws with these class frequencies agree."""
    count = int(max(a.max(), b.max())) + 1
    return float(np.bincount(a, minlength=count) @ np.bincount(b, minlength=count) / len(a) ** 2)


def _quantiles(
    draws: NDArray[np.float64], confidence: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Both ends of the percentile interval, per column."""
    if not 0 < inside("confidence", confidence, low=0.0, high=1.0) < 1:
        raise ValueError(f"confidence must lie in (0, 1), got {confidence!r}.")
    low, high = np.quantile(draws, [(1 - confidence) / 2, (1 + confidence) / 2], axis=0)
    return low, high
