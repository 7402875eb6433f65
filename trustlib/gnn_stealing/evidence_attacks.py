"""The attacks that the chapter compares: one table of what differs between them, one function that runs any of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor, nn

from trustlib.gnn_stealing.api import GraphQueryAPI, Response
from trustlib.gnn_stealing.augmentation import EdgeDrop, SpectralReweighting
from trustlib.gnn_stealing.evaluation import evaluate_stealing
from trustlib.gnn_stealing.evidence_worlds import Protocol, World, one_thread
from trustlib.gnn_stealing.heads import fit_head
from trustlib.gnn_stealing.outputs import node_outputs, target_labels
from trustlib.gnn_stealing.projections import Projection
from trustlib.gnn_stealing.span import SpectralFlipping
from trustlib.gnn_stealing.stealers import ContrastiveStealer, DistillationStealer, RmseStealer
from trustlib.gnn_stealing.surrogates import Architecture, Surrogate
from trustlib.gnn_stealing.training import train_target

if TYPE_CHECKING:
    from torch_geometric.data import Data

Kind = Literal["labels", "rmse", "contrastive", "distillation", "untrained"]
View = Literal["plain", "drop", "spectral", "signs", "span"]
Source = Literal["target", "shuffled", "gaussian"]
KEEP = 0.5  # share of the feature columns that a view keeps


@dataclass(frozen=True)
class Attack:
    """What distinguishes one attack from another.

    Args:
        kind: how the surrogate is trained; "labels" asks nothing, "untrained" does not train.
        view: what a contrastive attack does to the query graph; all but "plain" also mask feature columns.
        response: what the service answers.
        source: where the responses come from; "shuffled" and "gaussian" are controls.
    """

    kind: Kind
    view: View = "plain"
    response: Response = "embedding"
    source: Source = "target"


_SPECTRAL = Attack("contrastive", view="spectral")
ATTACKS: dict[str, Attack] = {
    "contrastive": _SPECTRAL,
    "rmse": Attack("rmse"),
    "labels": Attack("labels"),
    "distillation": Attack("distillation", response="posterior"),
    "drop": Attack("contrastive", view="drop"),
    "plain": Attack("contrastive"),
    "signs": Attack("contrastive", view="signs"),
    "span": Attack("contrastive", view="span"),
    "shuffled": replace(_SPECTRAL, source="shuffled"),
    "untrained": Attack("untrained"),
}
LABELS: dict[str, str] = {
    "contrastive": "contrastive",
    "rmse": "RMSE",
    "labels": "labels only",
    "distillation": "distillation",
    "drop": "edge drop + mask",
    "plain": "no view",
    "signs": "random signs",
    "span": "SPAN",
    "shuffled": "shuffled",
    "untrained": "untrained encoder",
    "contrastive_own_head": "contrastive, head on answers",
    "rmse_own_head": "RMSE, head on answers",
}


@dataclass(frozen=True)
class Loot:
    """What an attacker has after an attack.

    Args:
        classes: from a graph to the class of every node.
        embed: from a graph to the surrogate's vectors.
        encoder: the surrogate.
        queried: answers that the service gave.
        history: loss of every step; empty where nothing was trained on responses.
    """

    classes: Callable[[Any], Tensor]
    embed: Callable[[Any], Tensor]
    encoder: nn.Module
    queried: int
    history: tuple[float, ...]


@one_thread()
def steal(
    world: World,
    attack: Attack,
    protocol: Protocol,
    *,
    budget: float | None = None,
    surrogate: Architecture | None = None,
    known: Data | None = None,
    noise: float = 0.0,
    training: int = 0,
    service: GraphQueryAPI | None = None,
    edgeless: bool = False,
) -> Loot:
    """Run one attack against one target.

    Args:
        world: the target and its split.
        attack: what is done.
        protocol: sizes and steps.
        budget: share of the query nodes; None: the protocol's.
        surrogate: architecture of the surrogate; None: that of the target.
        known: the query graph as the attacker knows it; None: with its true edges.
        noise: of the service, in standard deviations of its responses.
        training: number of the training; another one draws other initial weights and views for the same queries.
            None of them starts from the weights that the target started from, which an attacker does not know.
        service: asked in place of an undefended one.
        edgeless: the surrogate never sees an edge, neither in training nor in the test.

    Returns:
        The stolen model.
    """
    query = world.cut(protocol.budget if budget is None else budget) if known is None else known
    seed = world.seed + 1009 * (training + 1)
    architecture = surrogate or world.architecture
    if attack.kind == "labels":
        model = _new(architecture, query, int(_classes(world)), protocol, seed)
        return _without_queries(model, query, protocol.baseline_epochs, seed, edgeless)
    responses = (
        answers(world, query, attack, protocol, noise=noise) if service is None else service.query(query)
    )
    encoder = _new(architecture, query, responses.shape[1], protocol, seed)
    history: tuple[float, ...] = ()
    if attack.kind != "untrained":
        stealer = _trained(attack, encoder, query, responses, protocol, seed)
        encoder, history = stealer.surrogate, tuple(stealer.history)

    def embed(data: Any) -> Tensor:
        return node_outputs(encoder, data)[0]

    if attack.kind == "distillation":
        return Loot(lambda data: embed(data).argmax(1), embed, encoder, len(responses), history)
    head = fit_head(embed(query), query.y, seed=seed % 2**32)
    return Loot(lambda data: head.predict(embed(data)), embed, encoder, len(responses), history)


@one_thread()
def with_own_head(world: World, loot: Loot, protocol: Protocol) -> Loot:
    """The same encoder with a head that is fitted on the target's classes instead of the true ones.

    Args:
        world: the target.
        loot: what was stolen at the protocol's budget.
        protocol: with the budget.

    Returns:
        With as many answers again: the service is asked for the classes of the same nodes.
    """
    query = world.cut(protocol.budget)
    service = GraphQueryAPI(world.target, "label")
    head = fit_head(loot.embed(query), service.query(query)[:, 0].long(), seed=world.seed)
    queried = loot.queried + service.n_queried
    return replace(loot, classes=lambda data: head.predict(loot.embed(data)), queried=queried)


def answers(world: World, query: Data, attack: Attack, protocol: Protocol, *, noise: float = 0.0) -> Tensor:
    """The responses that an attack is trained on: from the service, or from a control in its place.

    Args:
        world: the target.
        query: the graph that is sent.
        attack: which response, and whether a control takes its place.
        protocol: settings of the projection.
        noise: in standard deviations of the responses.

    Returns:
        Shape (n, r).
    """
    options: dict[str, Any] = {}
    if attack.response == "projection":
        options["projection"] = Projection(perplexity=protocol.perplexity, seed=world.seed % 2**31)
    responses = GraphQueryAPI(world.target, attack.response, **options).query(query)
    generator = torch.Generator().manual_seed(world.seed + 7)
    if noise > 0:
        noisy = GraphQueryAPI(
            world.target,
            attack.response,
            noise_std=noise * float(responses.std()),
            seed=world.seed,
            **options,
        )
        return noisy.query(query)
    if attack.source == "shuffled":
        return responses[torch.randperm(len(responses), generator=generator).to(responses.device)]
    if attack.source == "gaussian":
        drawn = torch.randn(responses.shape, generator=generator).to(responses)
        return drawn * responses.std() + responses.mean()
    return responses


@one_thread()
def measures(world: World, loot: Loot) -> dict[str, float]:
    """Accuracy, fidelity and their references on the test nodes.

    Args:
        world: the target.
        loot: the stolen model.

    Returns:
        accuracy, fidelity, target_accuracy, chance, kappa, on_correct, on_errors, queried.
    """
    report = evaluate_stealing(loot.classes, world.answers, world.split.test, interval="nodes", n_boot=1)
    return {
        "accuracy": report.accuracy,
        "fidelity": report.fidelity,
        "target_accuracy": report.target_accuracy,
        "chance": report.chance_agreement,
        "kappa": report.kappa,
        "on_correct": report.fidelity_on_correct,
        "on_errors": report.fidelity_on_errors,
        "queried": loot.queried,
    }


def _without_queries(model: nn.Module, query: Data, epochs: int, seed: int, edgeless: bool) -> Loot:
    """A model trained on the labels of the query nodes, with or without edges."""
    loops = torch.arange(len(query.y), device=query.edge_index.device).expand(2, -1)
    looped = query.clone()  # the layers count a loop once, given or not; a budget may leave no other edge
    looped.edge_index = torch.cat([query.edge_index, loops], dim=1)
    fitted = train_target(_Edgeless(model) if edgeless else model, looped, epochs=epochs, seed=seed)
    return Loot(
        lambda data: target_labels(fitted, data), lambda data: node_outputs(fitted, data)[0], fitted, 0, ()
    )


class _Edgeless(nn.Module):
    """A graph network that sees the nodes one by one."""

    sparse_features = True

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        """x (N, d), whatever the edges, to (N, C)."""
        out: Tensor = self.inner(x, edge_index[:, :0])
        return out


def _new(architecture: Architecture, query: Data, width: int, protocol: Protocol, seed: int) -> Surrogate:
    """A surrogate before training, on the device of the graph."""
    sizes = {"in_features": query.x.shape[1], "out_features": width, "hidden": protocol.hidden}
    return Surrogate(architecture, **sizes, seed=seed).to(query.edge_index.device)


def _classes(world: World) -> int:
    """Number of classes that the target tells apart."""
    one = world.split.query
    return int(node_outputs(world.target, SimpleNamespace(x=one.x, edge_index=one.edge_index))[0].shape[1])


def _trained(
    attack: Attack, encoder: Surrogate, query: Data, responses: Tensor, protocol: Protocol, seed: int
) -> Any:
    """A fitted stealer."""
    generator = torch.Generator().manual_seed(seed)
    if attack.kind in ("rmse", "distillation"):
        simple = RmseStealer if attack.kind == "rmse" else DistillationStealer
        return simple(encoder, epochs=protocol.baseline_epochs).fit(query, responses, generator=generator)
    plain = attack.view == "plain"
    stealer = ContrastiveStealer(
        encoder, epochs=protocol.epochs, augment=_view(attack.view), keep_prob=1.0 if plain else KEEP
    )
    return stealer.fit(query, responses, generator=generator)


def _view(view: View) -> Any:
    """The augmentation of edges."""
    if view == "spectral":
        return SpectralReweighting()
    if view == "signs":
        return SpectralReweighting(signs="random")
    if view == "span":
        return SpectralFlipping(candidates=20_000)
    return EdgeDrop(refresh=SpectralReweighting().refresh) if view == "drop" else None
