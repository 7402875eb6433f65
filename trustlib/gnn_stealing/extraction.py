"""One attack from the first query to a classifier, and the control that asks nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, Literal

import torch
from torch import Tensor, nn

from trustlib.gnn_stealing.api import GraphQueryAPI
from trustlib.gnn_stealing.checks import check_labels, one_of, whole
from trustlib.gnn_stealing.heads import Head, HeadKind, fit_head
from trustlib.gnn_stealing.outputs import node_outputs
from trustlib.gnn_stealing.splits import as_data
from trustlib.gnn_stealing.stealing import Stealer
from trustlib.gnn_stealing.training import train_target

HeadSource = Literal["answers", "true", "none"]


@dataclass(frozen=True)
class StolenModel:
    """What an attacker has in the end. Called with a graph, it names the class of every node.

    Args:
        embed: from a graph to the surrogate's vectors, (N, r).
        head: from vectors to classes; None: the largest of the surrogate's outputs.
        n_queried: answers the attack used, those for the head among them.
        history: loss of every epoch of the surrogate.
    """

    embed: Callable[[Any], Tensor]
    head: Head | None
    n_queried: int
    history: tuple[float, ...]

    def __call__(self, data: Any) -> Tensor:
        """Classes of all nodes, shape (N,), int64."""
        vectors = self.embed(data)
        return vectors.argmax(1) if self.head is None else self.head.predict(vectors)


def extract(
    service: GraphQueryAPI,
    query_data: Any,
    stealer: Stealer,
    *,
    head: HeadSource,
    label_service: GraphQueryAPI | None = None,
    kind: HeadKind = "mlp",
    train_share: float = 1.0,
    seed: int,
) -> StolenModel:
    """Ask a service about all nodes of a graph, train the surrogate on the answers, and fit the head.

    Args:
        service: the target; every node costs one answer.
        query_data: the graph as the attacker knows it.
        stealer: how the surrogate is trained; its surrogate is trained in place.
        head: what the head is fitted on. "answers": the classes in the service's own answers, the attacker needs no
            labels. "true": the true classes of the query nodes, as the published attacks assume. "none": no head, the
            outputs of the surrogate are logits (distillation).
        label_service: for "answers" where the responses name no class (embeddings, projections): asked about the same
            nodes, which costs as many answers again.
        kind: of the head.
        train_share: of the head; published: 0.75.
        seed: of the training and the head.

    Returns:
        The stolen model.

    Raises:
        TypeError, ValueError: answers that name no class without a label_service, true classes that are missing, or
            what the service, the stealer or the head refuses. All but the last is found before the first query.
        QueryBudgetExceeded: the budget does not suffice.

    Example:
        >>> from trustlib.gnn_stealing import DistillationStealer, Surrogate, TargetGNN
        >>> ring = SimpleNamespace(x=torch.eye(6), edge_index=torch.stack([torch.arange(6), torch.arange(1, 7) % 6]))
        >>> service = GraphQueryAPI(TargetGNN("gin", in_features=6, num_classes=2, hidden=4, seed=0), "posterior")
        >>> stealer = DistillationStealer(Surrogate("gin", in_features=6, out_features=2, seed=0), epochs=2)
        >>> stolen = extract(service, ring, stealer, head="none", seed=0)
        >>> stolen.n_queried, stolen(ring).shape
        (6, torch.Size([6]))

    Source: Podhajski et al. (ECAI 2024) with head="true"; the other heads are ours.
    """
    one_of("head", head, ("answers", "true", "none"))
    whole("seed", seed, least=0)
    data = as_data(query_data)
    asks = head == "answers" and service.response in ("embedding", "projection")
    if asks and (label_service is None or label_service.response in ("embedding", "projection")):
        raise ValueError(
            f'answers of kind {service.response!r} name no class: head="answers" needs a label_service, such as '
            'GraphQueryAPI(model, "label"). Its answers count.'
        )
    labels = check_labels(data, name="query_data") if head == "true" else None
    responses = service.query(data)
    used = len(responses)
    if head == "answers":
        given = label_service.query(data) if asks and label_service is not None else responses
        used += len(given) if asks else 0
        labels = given.argmax(1) if given.shape[1] > 1 else given[:, 0].long()
    stealer.fit(data, responses, generator=torch.Generator().manual_seed(seed))
    fitted = None
    if labels is not None:
        fitted = fit_head(stealer.embed(data), labels, kind, train_share=train_share, seed=seed)
    return StolenModel(stealer.embed, fitted, used, stealer.history)


def without_queries(
    surrogate: nn.Module, query_data: Any, *, epochs: int = 200, lr: float = 1e-3, seed: int
) -> StolenModel:
    """The control that every attack with true labels has to beat: the same network trained on the labels alone.

    Args:
        surrogate: a network with one output per class; a copy of it is trained.
        query_data: the attacker's graph with true classes y.
        epochs: passes over the nodes.
        lr: learning rate of Adam.
        seed: of dropout.

    Returns:
        A model that cost no answer.

    Raises:
        TypeError, ValueError: as `train_target`; a graph without edges is no error here.

    Example:
        >>> from trustlib.gnn_stealing import Surrogate
        >>> no_edges, y = torch.empty(2, 0, dtype=torch.long), torch.arange(4) % 2
        >>> alone = SimpleNamespace(x=torch.eye(4), edge_index=no_edges, y=y)
        >>> surrogate = Surrogate("gin", in_features=4, out_features=2, seed=0)
        >>> without_queries(surrogate, alone, epochs=60, lr=0.01, seed=0)(alone).tolist()
        [0, 1, 0, 1]

    Source: ours.
    """
    data = as_data(query_data)
    edges = data.edge_index
    if edges.shape[1] == 0:  # one loop per node says the same to the layers of this room
        edges = torch.arange(data.x.shape[0], device=edges.device).expand(2, -1)
    labelled = SimpleNamespace(x=data.x, edge_index=edges, y=check_labels(data, name="query_data"))
    fitted: Any = train_target(surrogate, labelled, epochs=epochs, lr=lr, seed=seed)
    return StolenModel(lambda graph: node_outputs(fitted, graph)[0], None, 0, tuple(fitted.training_losses))
