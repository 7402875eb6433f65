"""Two-dimensional pictures of answers and copies, for the chapter's views."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from trustlib.gnn_stealing.evidence_attacks import ATTACKS, Attack, answers, steal
from trustlib.gnn_stealing.evidence_worlds import Laboratory, World
from trustlib.gnn_stealing.outputs import node_outputs, target_labels

Vector = NDArray[np.float64]
SHOWN = 500  # nodes in a picture


@dataclass(frozen=True)
class Planes:
    """Test nodes in the plane of the target, and where a surrogate puts them.

    Args:
        target: shape (n, 2).
        surrogate: shape (n, 2).
        labels: the target's class of every node, shape (n,).
        agrees: whether the surrogate says the same class, shape (n,).
        nodes: how many nodes were queried.
        fidelity: on all test nodes.
    """

    target: Vector
    surrogate: Vector
    labels: NDArray[np.int64]
    agrees: NDArray[np.bool_]
    nodes: int
    fidelity: float


def budget_planes(lab: Laboratory, world: World, budgets: Sequence[float]) -> dict[float, Planes]:
    """The contrastive attack at several budgets, in the first two principal axes of the target's embeddings.

    All vectors are brought to length 1, because the loss sees directions only. Those of the surrogate are then mapped
    into the target's plane by least squares on the query nodes, because the loss determines them up to such a map only.

    Args:
        lab: the protocol.
        world: the target.
        budgets: shares of the query nodes.

    Returns:
        Planes by budget, of the same random test nodes.
    """
    test = world.split.test
    embedding = _embedding(world, test)
    centre = embedding.mean(0)
    axes = np.linalg.svd(embedding - centre, full_matrices=False)[2][:2].T  # (r, 2)
    shown = np.random.default_rng(world.seed).permutation(len(embedding))[:SHOWN]
    planes = {}
    for budget in budgets:
        loot = steal(world, ATTACKS["contrastive"], lab.protocol, budget=budget)
        query = world.cut(budget)
        plane = (_embedding(world, query) - centre) @ axes
        fitted = _affine(_directions(loot.embed(query)), plane)
        copied = fitted(_directions(loot.embed(test)))
        agrees = (loot.classes(test).cpu() == world.answers.cpu()).numpy()
        labels = world.answers.cpu().numpy()
        planes[budget] = Planes(
            ((embedding - centre) @ axes)[shown], copied[shown], labels[shown], agrees[shown], len(query.y),
            float(agrees.mean()),
        )  # fmt: skip
    return planes


def response_planes(lab: Laboratory, world: World) -> dict[str, tuple[Vector, NDArray[np.int64]]]:
    """The answers to all query nodes on a plane, by the kind of response, with the target's classes.

    Args:
        lab: the protocol.
        world: the target.

    Returns:
        "embedding" and "posterior" in their principal axes, "projection" as it was answered; each centred and scaled to
        the same picture, with far points drawn at its edge.
    """
    query = world.split.query
    labels = target_labels(world.target, query).cpu().numpy()
    planes = {}
    for kind in ("embedding", "posterior", "projection"):
        found = answers(world, query, Attack("contrastive", response=kind), lab.protocol)
        points = found.cpu().double().numpy()
        if points.shape[1] > 2:
            points = points - points.mean(0)
            points = points @ np.linalg.svd(points, full_matrices=False)[2][:2].T
        points = (points - np.median(points, axis=0)) / np.quantile(
            np.abs(points - np.median(points, axis=0)), 0.98
        )
        planes[kind] = (points.clip(-1.5, 1.5), labels)
    return planes


def _embedding(world: World, data: object) -> Vector:
    """The directions of the target's embeddings, shape (n, r)."""
    found = node_outputs(world.target, data)[1]
    if not isinstance(found, torch.Tensor):
        raise ValueError("the target has no embeddings; this picture needs them.")
    return _directions(found)


def _directions(vectors: torch.Tensor) -> Vector:
    """Rows of length 1; rows of zeros stay."""
    unit: Vector = torch.nn.functional.normalize(vectors.cpu().double(), dim=1).numpy()
    return unit


def _affine(source: Vector, goal: Vector) -> Callable[[Vector], Vector]:
    """The ridge map from one set of points to another."""
    from sklearn.linear_model import Ridge

    fitted: Callable[[Vector], Vector] = Ridge(alpha=0.1).fit(source, goal).predict
    return fitted
