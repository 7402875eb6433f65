"""A graph model behind an interface that counts: what an attacker gets to see of it, and how often."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor, nn

from trustlib.gnn_stealing.checks import check_edges, one_of, whole
from trustlib.gnn_stealing.defences import Defence
from trustlib.gnn_stealing.outputs import Embed, node_outputs
from trustlib.gnn_stealing.projections import Projection, project
from trustlib.gnn_stealing.splits import as_data

if TYPE_CHECKING:
    import pandas as pd

Response = Literal["embedding", "logits", "posterior", "label", "projection"]
RESPONSES: tuple[Response, ...] = ("embedding", "logits", "posterior", "label", "projection")


class QueryBudgetExceeded(RuntimeError):
    """A query was refused because it asks for more answers than are left; nothing was computed or counted.

    Args:
        budget: answers the service gives in all.
        used: answers it has given.
        asked: answers of the refused query.
    """

    def __init__(self, *, budget: int, used: int, asked: int) -> None:
        super().__init__(
            f"the query asks for {asked} answers, but {used} of {budget} are used and {budget - used} are left. "
            "Ask about fewer nodes (cut_query, or nodes=...)."
        )
        self.budget, self.used, self.asked = budget, used, asked


@dataclass(frozen=True)
class QueryRecord:
    """One query as the service logs it.

    Args:
        answered: nodes whose answers were returned, repeated ones counted every time.
        context: nodes that were sent along without an answer being returned.
        edges: directed edges that were sent.
        response: kind of the answers.
        width: numbers per answer.
    """

    answered: int
    context: int
    edges: int
    response: Response
    width: int


class GraphQueryAPI:
    """A node classifier as a service: graphs come in, one answer per node goes out, everything is counted.

    embedding: e(v), last hidden layer. logits: o(v). posterior: softmax(o(v)). label: argmax o(v), as one column.
    projection: the embeddings of the answered nodes on a plane, by t-SNE or principal components; it depends on all
    of them, so the answers of two queries cannot be put together.

    Args:
        model: any module ``model(x, edge_index)``, as in `node_outputs`. It is used in evaluation mode and not changed.
        response: what is given away. What papers call "prediction" is "logits" in both published codes.
        budget: answers in all, over all queries; None: unlimited.
        noise_std: see `Defence`. On labels: added to the posterior before the class is chosen.
        decimals: see `Defence`; not for labels.
        top_k: see `Defence`; for posteriors only.
        embed: where embeddings come from, as in `node_outputs`.
        projection: how a plane is found, for ``response="projection"``; None: `Projection` as published (t-SNE).
        seed: of the noise. Every query has noise of its own.

    Raises:
        TypeError, ValueError: no module, an unknown response, a defence that does not fit the response, or a negative
            budget.

    Example:
        >>> from types import SimpleNamespace
        >>> class Copy(nn.Module):
        ...     def forward(self, x, edge_index):
        ...         return x
        >>> graph = SimpleNamespace(x=torch.eye(3), edge_index=torch.tensor([[0], [1]]))
        >>> service = GraphQueryAPI(Copy(), "label", budget=4)
        >>> service.query(graph, nodes=[2, 0]).flatten().tolist()
        [2, 0]
        >>> service.n_queried, service.n_context, service.remaining
        (2, 1, 2)
        >>> service.query(graph)
        Traceback (most recent call last):
        ...
        trustlib.gnn_stealing.api.QueryBudgetExceeded: the query asks for 3 answers, but 2 of 4 are used ...

    Source: responses of Shen et al., S&P 2022, and Podhajski et al., ECAI 2024.
    """

    def __init__(
        self,
        model: nn.Module,
        response: Response = "embedding",
        *,
        budget: int | None = None,
        noise_std: float = 0.0,
        decimals: int | None = None,
        top_k: int | None = None,
        embed: Embed | None = None,
        projection: Projection | None = None,
        seed: int = 0,
    ) -> None:
        if not isinstance(model, nn.Module):
            raise TypeError(
                f"model must be a torch module, got {type(model).__name__}. Wrap a function in a module."
            )
        one_of("response", response, RESPONSES)
        if budget is not None:
            whole("budget", budget, least=0)
        if top_k is not None and response != "posterior":
            raise ValueError(f'top_k is for response="posterior", got {response!r}. Leave it at None.')
        if decimals is not None and response == "label":
            raise ValueError('decimals has no meaning for response="label". Leave it at None.')
        if projection is not None and response != "projection":
            raise ValueError(f'projection is for response="projection", got {response!r}. Leave it at None.')
        self.model, self.response, self.budget, self.embed = model, response, budget, embed
        self.defence = Defence(noise_std=noise_std, decimals=decimals, top_k=top_k)
        self.projection = Projection() if projection is None else projection
        self._generator = torch.Generator().manual_seed(whole("seed", seed, least=0))
        self._log: list[QueryRecord] = []

    @property
    def n_queried(self) -> int:
        """Answers given so far, over all queries."""
        return sum(record.answered for record in self._log)

    @property
    def n_context(self) -> int:
        """Nodes that were sent along without an answer, over all queries: what a count of answers does not show."""
        return sum(record.context for record in self._log)

    @property
    def remaining(self) -> int | None:
        """Answers that are left, None if unlimited."""
        return None if self.budget is None else self.budget - self.n_queried

    @property
    def log(self) -> tuple[QueryRecord, ...]:
        """One record per query, in order."""
        return tuple(self._log)

    def to_frame(self) -> pd.DataFrame:
        """The log as a table, one row per query, with the running number of answers."""
        import pandas as pd

        columns = list(QueryRecord.__dataclass_fields__)
        frame = pd.DataFrame([asdict(record) for record in self._log], columns=columns)
        return frame.assign(total=frame["answered"].cumsum())

    def query(self, data: Any, nodes: Any = None) -> Tensor:
        """Send a graph and get answers about some of its nodes.

        Args:
            data: a graph with x and edge_index; all of it is sent, and all of it can influence the answers.
            nodes: integer (n,), nodes to be answered; None: all.

        Returns:
            Answers (n, r) in the order of ``nodes``: r is the width of the embedding, the number of classes, 2 for a
            projection, and 1 for labels (int64).

        Raises:
            QueryBudgetExceeded: more answers than are left.
            TypeError, ValueError: no graph, no nodes or nodes that are not in it, a model without embeddings, or a
                projection of too few nodes.
        """
        data = as_data(data)
        rows = _check_nodes(nodes, data)
        if self.budget is not None and len(rows) > self.budget - self.n_queried:
            raise QueryBudgetExceeded(budget=self.budget, used=self.n_queried, asked=len(rows))
        if self.response == "projection":
            self.projection.check(len(rows))
        answers = self._answer(data, rows)
        context = data.x.shape[0] - len(torch.unique(rows))
        self._log.append(
            QueryRecord(len(rows), context, data.edge_index.shape[1], self.response, answers.shape[1])
        )
        return answers

    def _answer(self, data: Any, rows: Tensor) -> Tensor:
        """Answers after all defences."""
        wanted = self.response in ("embedding", "projection")
        logits, embedding = node_outputs(self.model, data, embed=self.embed)
        if not wanted:
            out = logits[rows]
            if self.response != "logits":
                out = out.softmax(dim=1)
        elif embedding is None:
            raise ValueError(
                f"response={self.response!r} needs embeddings, and the model returns logits only. Pass embed='...', "
                f"the name of a layer: {', '.join(name for name, _ in self.model.named_modules() if name)}."
            )
        else:
            out = embedding[rows]
        if self.response == "projection":
            out = project(out, self.projection)
        out = self.defence(out, generator=self._generator)
        return out.argmax(dim=1, keepdim=True) if self.response == "label" else out


def honest_accuracy(api: GraphQueryAPI, data: Any) -> float:
    """Accuracy of somebody who takes the class that the service's answers put first: what a defence costs customers.

    It is measured with a meter and noise of its own: the service's count and later answers stay as they are.

    Args:
        api: a service that answers with logits, posteriors or labels.
        data: a graph with true classes y.

    Returns:
        Share of nodes, in [0, 1].

    Raises:
        ValueError: answers that name no class, or no true classes.
    """
    data = as_data(data)
    if api.response not in ("logits", "posterior", "label"):
        raise ValueError(f"answers of kind {api.response!r} name no class. Use logits, posterior or label.")
    if getattr(data, "y", None) is None:
        raise ValueError("data.y is missing: accuracy needs true classes.")
    defence = api.defence
    twin = GraphQueryAPI(
        api.model, api.response, noise_std=defence.noise_std, decimals=defence.decimals, top_k=defence.top_k,
        embed=api.embed, seed=0,
    )  # fmt: skip
    answers = twin.query(data)
    labels = answers[:, 0] if api.response == "label" else answers.argmax(dim=1)
    return float((labels == data.y).double().mean())


def _check_nodes(nodes: Any, data: Any) -> Tensor:
    """Which rows are asked for, int64 (n,)."""
    n = data.x.shape[0]
    if nodes is None:
        return torch.arange(n, device=data.x.device)
    rows = torch.as_tensor(nodes, device=data.x.device)
    if rows.dtype == torch.bool:
        raise TypeError("nodes must be integers, got a mask. Use mask.nonzero().flatten().")
    if rows.ndim != 1 or rows.numel() == 0:
        raise ValueError(f"nodes must be a list of at least one node, got shape {tuple(rows.shape)}.")
    return check_edges(torch.stack([rows, rows]), num_nodes=n, name="nodes")[0]
