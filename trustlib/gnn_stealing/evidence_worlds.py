"""The experiments' settings: a graph that is cut, a target that is trained on its part, and the seeds of both."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from trustlib.gnn_stealing.outputs import target_labels
from trustlib.gnn_stealing.splits import InductiveSplit, cut_query, inductive_split
from trustlib.gnn_stealing.surrogates import ARCHITECTURES, Architecture
from trustlib.gnn_stealing.targets import TargetGNN
from trustlib.gnn_stealing.training import train_target

if TYPE_CHECKING:
    from torch_geometric.data import Data

GENERATED = "citations_like"


@dataclass(frozen=True)
class Protocol:
    """What all experiments of a run have in common.

    Args:
        graphs: names for `trustlib.data.load_graph`.
        architectures: of targets and surrogates.
        n_seeds: repetitions; each draws the split, the budget and all weights anew.
        n_focus: repetitions of studies on a single graph, >= 2; the first ones are those of n_seeds.
        seed: from which all others follow, >= 0.
        budget: share of the query nodes that are queried, in (0, 1].
        n_generated: nodes of a generated graph.
        target_epochs: passes when a target is trained.
        epochs: steps of the contrastive attacks.
        baseline_epochs: steps of the other attacks and of the model that is trained on labels only; they are cheaper.
        hidden: width of the surrogate.
        target_hidden: width of the target.
        perplexity: of projections by t-SNE; the budget must hold more than three times as many nodes.
        device: where everything is computed.

    Raises:
        ValueError: no graph, no architecture, fewer than two repetitions, or a budget outside (0, 1].

    Example:
        >>> Protocol(("citations_like",), n_seeds=2, budget=0.1).architectures
        ('gin', 'gat', 'sage')
    """

    graphs: tuple[str, ...]
    architectures: tuple[Architecture, ...] = ARCHITECTURES
    n_seeds: int = 3
    n_focus: int = 3
    seed: int = 0
    budget: float = 0.1
    n_generated: int = 3000
    target_epochs: int = 200
    epochs: int = 100
    baseline_epochs: int = 200
    hidden: int = 128
    target_hidden: int = 256
    perplexity: float = 10.0
    device: str = "cpu"

    def __post_init__(self) -> None:
        if not self.graphs or not self.architectures:
            raise ValueError(
                f"graphs and architectures must not be empty, got {self.graphs} and {self.architectures}."
            )
        if min(self.n_seeds, self.n_focus) < 2:
            raise ValueError(
                f"n_seeds and n_focus must be at least 2, got {self.n_seeds} and {self.n_focus}: one has no interval."
            )
        if not 0 < self.budget <= 1:
            raise ValueError(f"budget must lie in (0, 1], got {self.budget}.")

    @property
    def focus(self) -> range:
        """Numbers of the repetitions of studies on a single graph."""
        return range(self.n_focus)

    @property
    def seeds(self) -> range:
        """Numbers of the repetitions."""
        return range(self.n_seeds)


@contextmanager
def one_thread() -> Iterator[None]:
    """One thread for torch inside, as many as before outside: matrices of a few hundred rows gain nothing from more,
    and threads that wait for each other make a busy machine many times slower.

    Example:
        >>> before = torch.get_num_threads()
        >>> with one_thread():
        ...     torch.get_num_threads()
        1
        >>> torch.get_num_threads() == before
        True
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@dataclass(frozen=True)
class World:
    """One target on one split, and what is known about it.

    Args:
        graph: name of the graph.
        architecture: of the target.
        index: number of the repetition.
        seed: of everything random in this world.
        split: the three parts.
        target: the trained target.
        answers: the target's class for every test node.
    """

    graph: str
    architecture: Architecture
    index: int
    seed: int
    split: InductiveSplit
    target: nn.Module
    answers: Tensor

    def cut(self, budget: float) -> Data:
        """The query graph under a budget; smaller budgets are nested in larger ones."""
        return cut_query(self.split.query, budget, seed=self.seed)


@dataclass
class Laboratory:
    """Splits and targets of one protocol, made when first asked for and kept.

    Args:
        protocol: what all experiments have in common.

    Example:
        >>> Laboratory(Protocol(("citations_like",), n_seeds=2)).protocol.budget
        0.1
    """

    protocol: Protocol
    _graphs: dict[str, Data] = field(default_factory=dict, repr=False)
    _splits: dict[tuple[str, int], InductiveSplit] = field(default_factory=dict, repr=False)
    _worlds: dict[tuple[str, str, int], World] = field(default_factory=dict, repr=False)

    def data(self, graph: str) -> Data:
        """The whole graph."""
        if graph not in self._graphs:
            from trustlib.data import load_graph

            n, seed = self.protocol.n_generated, self.protocol.seed
            found = load_graph(graph, n=n, seed=seed) if graph == GENERATED else load_graph(graph)
            self._graphs[graph] = found.data
        return self._graphs[graph]

    def split(self, graph: str, index: int) -> InductiveSplit:
        """The disjoint parts of one repetition, the same for all architectures."""
        key = (graph, index)
        if key not in self._splits:
            found = inductive_split(self.data(graph), seed=self._seed(graph, index))
            device = self.protocol.device
            self._splits[key] = replace(
                found,
                target=found.target.to(device),
                query=found.query.to(device),
                test=found.test.to(device),
            )
        return self._splits[key]

    def world(self, graph: str, architecture: Architecture, index: int) -> World:
        """Split and trained target of one repetition."""
        key = (graph, architecture, index)
        if key not in self._worlds:
            split, protocol = self.split(graph, index), self.protocol
            seed = self._seed(f"{graph}/{architecture}", index)
            untrained = self._untrained(architecture, split, seed)
            with one_thread():
                target = train_target(untrained, split.target, epochs=protocol.target_epochs, seed=seed)
                answers = target_labels(target, split.test)
            self._worlds[key] = World(graph, architecture, index, seed, split, target, answers)
        return self._worlds[key]

    def _untrained(self, architecture: Architecture, split: InductiveSplit, seed: int) -> nn.Module:
        """A new target on the protocol's device, for all classes of the graph."""
        classes = int(torch.cat([split.target.y, split.query.y, split.test.y]).max()) + 1
        sizes = {"in_features": split.target.x.shape[1], "num_classes": classes}
        model = TargetGNN(architecture, **sizes, hidden=self.protocol.target_hidden, seed=seed)
        return model.to(self.protocol.device)

    def _seed(self, name: str, index: int) -> int:
        """A seed that depends on the protocol's seed, a name and the number of the repetition only."""
        entropy = [self.protocol.seed, index, zlib.crc32(name.encode())]
        return int(np.random.SeedSequence(entropy).generate_state(1)[0])
