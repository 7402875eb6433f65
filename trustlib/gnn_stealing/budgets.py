"""What each query buys: attacks run at growing budgets."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from torch import nn

from trustlib.gnn_stealing.checks import inside, whole
from trustlib.gnn_stealing.evaluation import Predictor, evaluate_stealing
from trustlib.gnn_stealing.outputs import target_labels
from trustlib.gnn_stealing.splits import InductiveSplit, cut_query

if TYPE_CHECKING:
    import pandas as pd

Thief = Callable[[Any, int], Predictor]


def query_budget_curve(
    thieves: Mapping[str, Thief],
    target: nn.Module,
    split: InductiveSplit,
    *,
    budgets: Sequence[float],
    seeds: Sequence[int],
) -> pd.DataFrame:
    """Run every attack at every budget and seed, on the same nodes, and measure the copies on the test graph.

    The query graph is cut to the budget first and sent afterwards, so no node outside the budget helps. With one seed,
    smaller budgets are parts of larger ones, and all attacks see the same graph: differences are paired.

    Args:
        thieves: by name, ``thief(query_graph, seed)`` that gives a predictor: a `StolenModel`, a module, a function.
        target: the model under attack.
        split: with the query and the test graph.
        budgets: shares of the query nodes, each in (0, 1].
        seeds: whole numbers >= 0.

    Returns:
        One row per attack, budget and seed: attack, budget, seed, nodes, n_queried (NaN for predictors that do not
        count), accuracy, fidelity, kappa, target_accuracy.

    Raises:
        TypeError, ValueError: no attack, budget or seed, a budget outside (0, 1], or what an attack refuses.

    Example:
        >>> import torch
        >>> from types import SimpleNamespace
        >>> from trustlib.gnn_stealing import TargetGNN, inductive_split
        >>> ring = torch.arange(40)
        >>> graph = SimpleNamespace(x=torch.eye(40), edge_index=torch.stack([ring, ring.roll(1)]), y=ring % 2)
        >>> target = TargetGNN("gin", in_features=40, num_classes=2, hidden=4, seed=0)
        >>> constant = lambda query, seed: lambda data: torch.zeros(len(data.y), dtype=torch.long)
        >>> split = inductive_split(graph, seed=0)
        >>> query_budget_curve({"zero": constant}, target, split, budgets=[0.5, 1.0], seeds=[0])["nodes"].tolist()
        [6, 12]

    Source: budget study of Podhajski et al. (ECAI 2024). Deviation: theirs cuts the answers, not the graph.
    """
    import pandas as pd

    if not thieves or not len(budgets) or not len(seeds):
        raise ValueError(
            f"thieves, budgets and seeds must not be empty, got {len(thieves)}, {len(budgets)} and {len(seeds)}."
        )
    for budget in budgets:
        inside("budget", budget, low=0.0, high=1.0, open_low=True)
    for seed in seeds:
        whole("seed", seed, least=0)
    answers = target_labels(target, split.test)
    rows = []
    for seed in seeds:
        for budget in budgets:
            query = cut_query(split.query, budget, seed=seed)
            for name, thief in thieves.items():
                stolen = thief(query, seed)
                report = evaluate_stealing(stolen, answers, split.test, interval="nodes", n_boot=1)
                rows.append(
                    {
                        "attack": name,
                        "budget": budget,
                        "seed": seed,
                        "nodes": query.x.shape[0],
                        "n_queried": getattr(stolen, "n_queried", float("nan")),
                        "accuracy": report.accuracy,
                        "fidelity": report.fidelity,
                        "kappa": report.kappa,
                        "target_accuracy": report.target_accuracy,
                    }
                )
    return pd.DataFrame(rows)
