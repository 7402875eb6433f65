"""The experiments: every function trains what its question needs and returns one row per trained surrogate."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from trustlib.gnn_stealing.api import GraphQueryAPI, honest_accuracy
from trustlib.gnn_stealing.evidence_attacks import ATTACKS, Attack, measures, steal, with_own_head
from trustlib.gnn_stealing.evidence_edges import VERSIONS
from trustlib.gnn_stealing.evidence_worlds import Laboratory, World
from trustlib.gnn_stealing.heads import fit_head
from trustlib.gnn_stealing.reconstruction import edge_quality
from trustlib.gnn_stealing.surrogates import Architecture

if TYPE_CHECKING:
    import pandas as pd

Progress = Callable[[Iterable[Any], int], Iterable[Any]]

GRID = (
    "contrastive", "rmse", "labels", "distillation", "drop", "plain", "signs", "span", "shuffled", "untrained",
)  # fmt: skip
CURVE = ("contrastive", "rmse", "distillation", "labels", "shuffled")
SIGMAS = (0.0, 0.5, 1.0, 2.0, 4.0)  # noise in standard deviations of the responses
RESPONSES: dict[str, Attack] = {
    "embedding": Attack("contrastive", "spectral", "embedding"),
    "posterior": Attack("contrastive", "spectral", "posterior"),
    "projection": Attack("contrastive", "spectral", "projection"),
    "shuffled_projection": Attack("contrastive", "spectral", "projection", source="shuffled"),
    "gaussian_embedding": Attack("contrastive", "spectral", "embedding", source="gaussian"),
    "gaussian_projection": Attack("contrastive", "spectral", "projection", source="gaussian"),
}
AGAIN = ("posterior", "posterior_again", "posterior_once_more")  # trainings 0, 1 and 2 of one attack


def grid(
    lab: Laboratory,
    *,
    attacks: Sequence[str] = GRID,
    own_heads: Sequence[str] = ("contrastive", "rmse"),
    progress: Progress | None = None,
) -> pd.DataFrame:
    """All attacks in all settings, with target and surrogate of one architecture.

    Args:
        lab: the protocol with its targets.
        attacks: names out of `ATTACKS`.
        own_heads: which of them are also measured with a head on the target's answers, as "..._own_head".
        progress: wraps the settings, for a bar.

    Returns:
        Columns graph, architecture, seed, attack and those of `measures`.
    """
    protocol = lab.protocol
    cells = list(itertools.product(protocol.graphs, protocol.seeds, protocol.architectures))
    rows = []
    for graph, index, architecture in _steps(cells, progress):
        world = lab.world(graph, architecture, index)
        for name in attacks:
            loot = steal(world, ATTACKS[name], protocol)
            rows.append({**_place(world), "attack": name, **measures(world, loot)})
            if name in own_heads:
                other = with_own_head(world, loot, protocol)
                rows.append({**_place(world), "attack": f"{name}_own_head", **measures(world, other)})
    return _frame(rows)


def budget_curve(
    lab: Laboratory,
    graph: str,
    architecture: Architecture,
    budgets: Sequence[float],
    *,
    attacks: Sequence[str] = CURVE,
    progress: Progress | None = None,
) -> pd.DataFrame:
    """Attacks at several budgets; the query graph is cut before it is sent.

    Args:
        lab: the protocol with its targets.
        graph: which graph.
        architecture: of target and surrogate.
        budgets: shares of the query nodes, each in (0, 1].
        attacks: names out of `ATTACKS`.
        progress: wraps the steps.

    Returns:
        Columns as `grid`, and budget and nodes (that the budget holds).
    """
    rows = []
    cells = list(itertools.product(lab.protocol.focus, budgets))
    for index, budget in _steps(cells, progress):
        world = lab.world(graph, architecture, index)
        nodes = len(world.cut(budget).y)
        for name in attacks:
            found = _measured(lab, world, ATTACKS[name], budget=budget)
            rows.append({**_place(world), "attack": name, "budget": budget, "nodes": nodes, **found})
    return _frame(rows)


def response_study(
    lab: Laboratory, architecture: Architecture, *, progress: Progress | None = None
) -> pd.DataFrame:
    """The contrastive attack on each kind of response, and on controls in their place, on all graphs.

    Args:
        lab: the protocol with its targets.
        architecture: of target and surrogate.
        progress: wraps the steps.

    Returns:
        Columns as `grid`, with response in place of attack; two of them are predictions in other trainings.
    """
    rows = []
    cells = list(itertools.product(lab.protocol.graphs, lab.protocol.seeds))
    for graph, index in _steps(cells, progress):
        world = lab.world(graph, architecture, index)
        repeated = {name: (RESPONSES["posterior"], number) for number, name in enumerate(AGAIN)}
        for name, (attack, number) in {**{n: (a, 0) for n, a in RESPONSES.items()}, **repeated}.items():
            rows.append({**_place(world), "response": name, **_measured(lab, world, attack, training=number)})
    return _frame(rows)


def mismatch_study(
    lab: Laboratory, graph: str, *, budget: float, progress: Progress | None = None
) -> pd.DataFrame:
    """Every pair of target and surrogate architecture, and different ones on shuffled responses.

    Args:
        lab: the protocol with its targets.
        graph: which graph.
        budget: share of the query nodes.
        progress: wraps the steps.

    Returns:
        Columns as `grid`, and surrogate; attack is "contrastive" or "shuffled".
    """
    rows = []
    cells = list(itertools.product(lab.protocol.focus, *[lab.protocol.architectures] * 2))
    for index, architecture, surrogate in _steps(cells, progress):
        world = lab.world(graph, architecture, index)
        names = ("contrastive",) if architecture == surrogate else ("contrastive", "shuffled")
        for name in names:
            found = _measured(lab, world, ATTACKS[name], budget=budget, surrogate=surrogate)
            rows.append({**_place(world), "surrogate": surrogate, "attack": name, **found})
    return _frame(rows)


def structure_study(
    lab: Laboratory,
    graph: str,
    architecture: Architecture,
    *,
    budget: float,
    progress: Progress | None = None,
) -> pd.DataFrame:
    """Type I and type II attacks, with controls: true, learned, rebuilt, random and no edges.

    Args:
        lab: the protocol with its targets.
        graph: which graph.
        architecture: of target and surrogate.
        budget: share of the query nodes.
        progress: wraps the steps.

    Returns:
        Columns as `grid`, with edges ("true", "learned", "rebuilt", "handed_over", "random", "none") in place of
        attack, and precision and recall of the edges.
    """
    rows = []
    for index in _steps(list(lab.protocol.focus), progress):
        world = lab.world(graph, architecture, index)
        query = world.cut(budget)
        for name, version in VERSIONS.items():
            known = version(query, world.seed)
            attack = ATTACKS["labels" if name == "none" else "contrastive"]
            quality = edge_quality(known.edge_index, query.edge_index, len(query.y))
            options = {"edgeless": name == "none", "training": int(name == "handed_over")}
            found = _measured(lab, world, attack, known=known, **options)
            rows.append({**_place(world), "edges": name, **quality, **found})
    return _frame(rows)


def noise_study(
    lab: Laboratory, graph: str, architecture: Architecture, *, progress: Progress | None = None
) -> pd.DataFrame:
    """The contrastive attack against noise on the embeddings, and without noise but with other trainings.

    Args:
        lab: the protocol with its targets.
        graph: which graph.
        architecture: of target and surrogate.
        progress: wraps the steps.

    Returns:
        Columns as `grid`, and sigma, control (True: no noise in truth), honest (accuracy of a customer who fits a
        classifier on the noisy embeddings of the same nodes and labels, and applies it to noisy embeddings).
    """
    rows = []
    cells = list(itertools.product(lab.protocol.focus, enumerate(SIGMAS)))
    for index, (step, sigma) in _steps(cells, progress):
        world = lab.world(graph, architecture, index)
        for control in (False, True):
            options = {"training": step + 1} if control else {"noise": sigma}
            found = _measured(lab, world, ATTACKS["contrastive"], **options)
            honest = _honest(lab, world, 0.0 if control else sigma)
            rows.append({**_place(world), "sigma": sigma, "control": control, "honest": honest, **found})
    return _frame(rows)


DEFENCES: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("none", "", {}),
    ("noise", "0.1", {"noise_std": 0.1}),
    ("noise", "0.2", {"noise_std": 0.2}),
    ("noise", "0.4", {"noise_std": 0.4}),
    ("rounding", "2", {"decimals": 2}),
    ("rounding", "1", {"decimals": 1}),
    ("rounding", "0", {"decimals": 0}),
    ("top_k", "2", {"top_k": 2}),
    ("top_k", "1", {"top_k": 1}),
)


def defence_study(
    lab: Laboratory, graph: str, architecture: Architecture, *, progress: Progress | None = None
) -> pd.DataFrame:
    """Distillation from defended posteriors, beside what the honest user gets from the same service.

    Args:
        lab: the protocol with its targets.
        graph: which graph.
        architecture: of target and surrogate.
        progress: wraps the steps.

    Returns:
        Columns as `grid`, and defence, strength, honest (accuracy of the class that the answers put first).
    """
    rows = []
    cells = list(itertools.product(lab.protocol.focus, DEFENCES))
    for index, (kind, strength, options) in _steps(cells, progress):
        world = lab.world(graph, architecture, index)
        api = GraphQueryAPI(world.target, "posterior", seed=world.seed, **options)
        found = _measured(lab, world, ATTACKS["distillation"], service=api)
        honest = honest_accuracy(api, world.split.test)
        rows.append({**_place(world), "defence": kind, "strength": strength, "honest": honest, **found})
    return _frame(rows)


def _honest(lab: Laboratory, world: World, sigma: float) -> float:
    """Accuracy of a classifier on noisy embeddings, fitted on those of the budget's nodes."""
    query = world.cut(lab.protocol.budget)
    clean = GraphQueryAPI(world.target, "embedding").query(query)
    api = GraphQueryAPI(world.target, "embedding", noise_std=sigma * float(clean.std()), seed=world.seed)
    head = fit_head(api.query(query), query.y, seed=world.seed)
    test = world.split.test
    return float((head.predict(api.query(test)) == test.y.cpu()).double().mean())


def _measured(lab: Laboratory, world: World, attack: Attack, **options: Any) -> dict[str, float]:
    """The measures of one attack."""
    return measures(world, steal(world, attack, lab.protocol, **options))


def _place(world: World) -> dict[str, Any]:
    """Where a row belongs."""
    return {"graph": world.graph, "architecture": world.architecture, "seed": world.index}


def _steps(cells: Sequence[Any], progress: Progress | None) -> Iterable[Any]:
    """The cells, behind a bar if there is one."""
    return cells if progress is None else progress(cells, len(cells))


def _frame(rows: list[dict[str, Any]]) -> pd.DataFrame:
    """Rows as a table."""
    import pandas as pd

    return pd.DataFrame(rows)
