"""Edges learned together with a classifier (IDGL), for an attacker who knows features and classes but no edges."""

from __future__ import annotations

import math
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from trustlib.gnn_stealing.checks import check_features, check_labels, inside, is_sparse, seeded, whole
from trustlib.gnn_stealing.edges import undirected
from trustlib.gnn_stealing.reconstruction import knn_graph_from_features

MOST_NODES = 6_000  # of whom all pairs are compared; a step holds about ten matrices of this size squared
TINY = 1e-6


@dataclass(frozen=True)
class LearnedGraph:
    """Similarities of all pairs of nodes, and the edges that they say.

    Args:
        similarity: shape (N, N), symmetric, in [-1, 1].
        losses: of every epoch.
    """

    similarity: Tensor
    losses: tuple[float, ...]

    def above(self, threshold: float) -> Tensor:
        """Edges between all pairs whose similarity is larger, in both directions.

        Args:
            threshold: in [-1, 1]; published: 0.999, for ACM 0.9.

        Returns:
            Shape (2, E), sorted, without loops.

        Raises:
            TypeError, ValueError: a threshold outside [-1, 1].
        """
        inside("threshold", threshold, low=-1.0, high=1.0)
        return undirected((self.similarity > threshold).nonzero().T, len(self.similarity))

    def strongest(self, count: int) -> Tensor:
        """Edges between the most similar pairs, in both directions; of equal ones, those of smaller node numbers.

        Args:
            count: undirected edges, from 0 to N (N - 1) / 2.

        Returns:
            Shape (2, 2 count), sorted, without loops.

        Raises:
            TypeError, ValueError: a count outside its range.
        """
        n = len(self.similarity)
        pairs = torch.triu_indices(n, n, offset=1, device=self.similarity.device)
        if whole("count", count, least=0) > pairs.shape[1]:
            raise ValueError(f"count must be at most {pairs.shape[1]}, the pairs of {n} nodes; got {count}.")
        order = self.similarity[pairs[0], pairs[1]].argsort(descending=True, stable=True)
        return undirected(pairs[:, order[:count]], n)


def weighted_cosine(x: Tensor, weights: Tensor) -> Tensor:
    """Mean over heads of the cosine of re-weighted features, S_ij = mean_p cos(w_p * x_i, w_p * x_j).

    Args:
        x: shape (N, d), dense.
        weights: one row per head, shape (P, d); signs do not matter.

    Returns:
        Shape (N, N), in [-1, 1], 1 on the diagonal; 0 for nodes without features.

    Example:
        >>> weighted_cosine(torch.tensor([[1.0, 1.0], [1.0, -1.0]]), torch.tensor([[1.0, 1.0], [1.0, 0.0]]))[0, 1]
        tensor(0.5000)

    Source: Chen et al., NeurIPS 2020, similarity metric learning.
    """
    rows = torch.cat([functional.normalize(x * w, dim=1) for w in weights], dim=1)
    return rows @ rows.T / len(weights)


def learn_graph(
    x: Tensor,
    y: Tensor,
    *,
    k: int = 24,
    heads: int = 8,
    floor: float = 0.65,
    keep: float = 0.4,
    smoothness: float = 0.4,
    connectivity: float = 0.1,
    iterations: int = 0,
    update: float = 0.1,
    hidden: int = 16,
    epochs: int = 200,
    lr: float = 0.01,
    seed: int,
) -> LearnedGraph:
    """A similarity of nodes that helps a two-layer graph network to tell the classes apart (IDGL).

    Messages run along A = keep * A_knn + (1 - keep) * rownorm(S), where S is `weighted_cosine` with entries below
    ``floor`` set to 0. Minimised over S and the network: cross-entropy
    + smoothness * tr(X' (D - S) X) / N^2 - connectivity * mean_i log(sum_j S_ij), D the row sums of S.

    Args:
        x: features, shape (N, d), dense or sparse CSR; N at most 6 000, since all pairs are compared.
        y: classes, int64, shape (N,); the attacker is assumed to know them.
        k: neighbours of a node in A_knn, itself counted; as many as there are if N is smaller.
        heads: P, weight vectors.
        floor: similarities below count as 0, in [0, 1]. They have no gradient either: where features of different
            nodes have little in common, 0.65 leaves nothing to learn from, and a lower floor does.
        keep: share of A_knn, in [0, 1].
        smoothness: weight, >= 0.
        connectivity: weight, >= 0.
        iterations: how often S is learned anew from the hidden units in a step; 0, as published.
        update: share of that S in each iteration, in [0, 1]; unused without iterations.
        hidden: units of the network.
        epochs: steps on all nodes.
        lr: of Adam.
        seed: of weights and dropout. torch's global generator is left as it was.

    Returns:
        The learned similarity; its ``above`` gives the published edges, its ``strongest`` a wanted number of them.

    Raises:
        TypeError, ValueError: bad features or classes, one class only, more than 6 000 nodes, a number out of range.
        FloatingPointError: the loss is no longer finite.

    Example:
        >>> x, y = torch.tensor([[3.0, 0.0], [3.0, 1.0], [0.0, 3.0], [1.0, 3.0]]), torch.tensor([0, 0, 1, 1])
        >>> learn_graph(x, y, epochs=5, seed=0).strongest(2)
        tensor([[0, 1, 2, 3],
                [1, 0, 3, 2]])

    Source: Chen et al., *Iterative Deep Graph Learning for Graph Neural Networks*, NeurIPS 2020, in the configuration
        with which Shen et al. (S&P 2022) and Podhajski et al. (ECAI 2024) rebuild edges. hidden, epochs, lr, dropout
        one half and the absence of early stopping are ours.
    """
    labels = _checked(x, y)
    whole("k", k, least=1)
    for name, count in (("heads", heads), ("hidden", hidden), ("epochs", epochs)):
        whole(name, count, least=1)
    whole("iterations", iterations, least=0)
    inside("floor", floor, low=0.0, high=1.0)
    inside("lr", lr, low=0.0, open_low=True)
    for name, share in (("keep", keep), ("update", update)):
        inside(name, share, low=0.0, high=1.0)
    for name, weight in (("smoothness", smoothness), ("connectivity", connectivity)):
        inside(name, weight, low=0.0)
    features = (x.to_dense() if is_sparse(x) else x).detach().to(torch.float32)
    penalty = _Penalty(features, smoothness, connectivity)
    with seeded(seed):
        sizes = {"heads": heads, "hidden": hidden, "iterations": iterations}
        model = _Learner(features.shape[1], int(labels.max()) + 1, **sizes).to(features.device)
        model.base, model.floor, model.keep, model.update = _neighbours(x, k), floor, keep, update
        optimizer = torch.optim.Adam(model.parameters(), lr=lr)
        losses = tuple(_step(model, optimizer, features, labels, penalty) for _ in range(epochs))
    model.eval()
    with torch.no_grad():
        return LearnedGraph(model(features)[-1][1].clamp(-1, 1), losses)


class _Learner(nn.Module):
    """A graph network with the similarity that it sends its messages along."""

    base: Tensor
    floor: float
    keep: float
    update: float

    def __init__(self, in_features: int, classes: int, *, heads: int, hidden: int, iterations: int) -> None:
        super().__init__()
        self.iterations = iterations
        self.weights = nn.Parameter(nn.init.xavier_uniform_(torch.empty(heads, in_features)))
        self.hidden_weights = nn.Parameter(nn.init.xavier_uniform_(torch.empty(heads, hidden)))
        self.first = nn.Linear(in_features, hidden, bias=False)
        self.second = nn.Linear(hidden, classes, bias=False)

    def forward(self, x: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Logits (N, C) and similarity (N, N) of the first pass and of every iteration."""
        first = weighted_cosine(x, self.weights)
        logits, h = self._classify(x, first)
        passes = [(logits, first)]
        for _ in range(self.iterations):
            anew = weighted_cosine(h, self.hidden_weights)
            similarity = self.update * anew + (1 - self.update) * first
            logits, h = self._classify(x, similarity)
            passes.append((logits, similarity))
        return passes

    def _classify(self, x: Tensor, similarity: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (N, C) and hidden units of two rounds of messages."""
        messages = self._messages(similarity)
        h = functional.dropout(functional.relu(messages @ self.first(x)), 0.5, self.training)
        return messages @ self.second(h), h

    def _messages(self, similarity: Tensor) -> Tensor:
        """keep * A_knn + (1 - keep) * rownorm(S)."""
        kept = sparsified(similarity, self.floor)
        return self.keep * self.base + (1 - self.keep) * kept / kept.sum(1, keepdim=True).clamp(min=TINY)


def sparsified(similarity: Tensor, floor: float) -> Tensor:
    """The same with entries below ``floor`` set to 0."""
    return torch.where(similarity < floor, 0.0, similarity)


class _Penalty:
    """smoothness * tr(X' (D - S) X) / N^2 - connectivity * mean_i log(sum_j S_ij)."""

    def __init__(self, x: Tensor, smoothness: float, connectivity: float) -> None:
        self.gram, self.smoothness, self.connectivity = x @ x.T, smoothness, connectivity

    def __call__(self, kept: Tensor) -> Tensor:
        """kept (N, N) to a scalar."""
        degree = kept.sum(1)
        trace = degree @ self.gram.diagonal() - (kept * self.gram).sum()
        value: Tensor = self.smoothness * trace / len(kept) ** 2
        return value - self.connectivity * degree.clamp(min=TINY).log().mean()


def _step(
    model: _Learner, optimizer: torch.optim.Optimizer, x: Tensor, labels: Tensor, penalty: _Penalty
) -> float:
    """One step; the loss of the first pass and the mean loss of the iterations."""
    optimizer.zero_grad()
    losses = [
        functional.cross_entropy(logits, labels) + penalty(sparsified(similarity, model.floor))
        for logits, similarity in model(x)
    ]
    loss = losses[0] + (sum(losses[1:]) / len(losses[1:]) if len(losses) > 1 else 0.0)
    loss.backward()
    optimizer.step()
    value = float(loss.detach())
    if not math.isfinite(value):
        raise FloatingPointError(f"the loss is {value}: training diverged. Lower lr or scale the features.")
    return value


def _neighbours(x: Tensor, k: int) -> Tensor:
    """A_knn, dense (N, N), with itself among the k neighbours, every row divided by its sum."""
    n = x.shape[0]
    adjacency = torch.eye(n, device=x.device)
    if min(k, n) > 1:
        row, col = knn_graph_from_features(x, min(k, n) - 1)
        adjacency[row, col] = 1.0
    return adjacency / adjacency.sum(1, keepdim=True)


def _checked(x: Any, y: Any) -> Tensor:
    """Classes as int64, after a look at both."""
    check_features(x)
    if x.shape[0] > MOST_NODES:
        raise ValueError(
            f"x holds {x.shape[0]} nodes, and all pairs of at most {MOST_NODES} are compared. Use a smaller query "
            "graph, or knn_graph_from_features."
        )
    return check_labels(SimpleNamespace(x=x, y=y), name="nodes")
