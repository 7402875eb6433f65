"""UnitMem, ClassMem and class selectivity of an encoder's layers, streamed over points."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trustlib.memorization.classes import ClassMem, ClassMemAccumulator
from trustlib.memorization.interventions import unit_axis_of
from trustlib.memorization.responses import reading, refuse_stochastic
from trustlib.memorization.units import Negative, Rest, UnitMem, UnitMemAccumulator
from trustlib.memorization.views import CLEAN, Augment, Views

if TYPE_CHECKING:
    from torch import Tensor

    from trustlib.memorization.responses import Encoder, Forward

Activations = dict[str, NDArray[np.float64]]


def unitmem(
    encoder: Encoder,
    data: Any,
    augment: Augment | None,
    layers: Sequence[str],
    *,
    n_views: int = 10,
    rest: Rest = "mean",
    negative: Negative = "raise",
    unit_axis: int | None = None,
    seed: int = 0,
    batch_size: int = 256,
    index: ArrayLike | None = None,
    forward_fn: Forward | None = None,
) -> dict[str, UnitMem]:
    """How exclusively one point excites each unit of the named layers; one encoder, no reference.

    activation_u(x) = mean of unit u over positions (pixels of a feature map; tokens with the class token);
    mu_u(x) = mean of it over ``n_views`` augmentations; UnitMem(u) = (mu_max - mu_rest) / (mu_max + mu_rest)
    as in ``unitmem_from_activations``. One pass, memory O(units).

    A high score alone says that a unit is selective: score as many held-out points beside it
    (``heldout_unitmem``), and compare at equal numbers of points only.

    Args:
        encoder: module.
        data: points, N >= 2; see ``alignment_loss``.
        augment: of the training, or None for the points themselves.
        layers: dotted names. Units must be >= 0 on average: name the layer after its ReLU.
        n_views: augmentations per point, >= 1; not used without augment.
        rest: "mean" of the other points, or "median" (exact for small data, else within 0.0025).
        negative: "raise"; "relu" scores max(activation, 0), cut before the mean over positions; "nan" marks
            units with a negative mean.
        unit_axis: axis of the units; default 1 for 4-d and 5-d outputs, else the last.
        seed: of the views.
        batch_size: views per encoder call.
        index: identity of each point, reported in ``argmax``.
        forward_fn: see ``alignment_loss``.

    Returns:
        UnitMem per layer, in execution order.

    Raises:
        ValueError: fewer than 2 points, negative activations, unknown layers, a random encoder.

    Example:
        >>> import torch
        >>> net = torch.nn.Sequential(torch.nn.Identity(), torch.nn.ReLU())
        >>> unitmem(net, torch.tensor([[3.0], [1.0], [1.0], [1.0]]), None, ["1"])["1"].scores
        array([0.5])

    Source: Wang et al., NeurIPS 2024, eq. 5 to 7; ten augmentations as there.
    """
    views = Views(data, augment or same_point, seed=seed, batch_size=batch_size, index=index)
    if views.n < 2:
        raise ValueError(f"UnitMem compares one point with the others and needs N >= 2 points, got {views.n}")
    accumulators = unit_accumulators(
        encoder, views, layers, n_views=n_views if augment else None, rest=rest, negative=negative,
        unit_axis=unit_axis, forward_fn=forward_fn,
    )  # fmt: skip
    return {name: accumulator.compute() for name, accumulator in accumulators.items()}


def same_point(x: Any, generator: Any) -> Any:
    """The point itself."""
    return x


def unit_accumulators(
    encoder: Encoder,
    views: Views,
    layers: Sequence[str],
    *,
    n_views: int | None,
    rest: Rest,
    negative: Negative,
    unit_axis: int | None,
    forward_fn: Forward | None,
) -> dict[str, UnitMemAccumulator]:
    """One filled accumulator per layer."""
    accumulators: dict[str, UnitMemAccumulator] = {}
    stream = mean_activations(
        encoder, views, layers, n_views=n_views, rectify=negative == "relu", unit_axis=unit_axis,
        forward_fn=forward_fn,
    )  # fmt: skip
    for positions, activations in stream:
        for name, mu in activations.items():
            accumulator = accumulators.setdefault(name, UnitMemAccumulator(rest=rest, negative=negative))
            try:
                accumulator.update(mu, views.index[positions])
            except ValueError as error:
                raise ValueError(f"layer {name!r}: {error}") from error
    return accumulators


def mean_activations(
    encoder: Encoder,
    views: Views,
    layers: Sequence[str],
    *,
    n_views: int | None,
    rectify: bool,
    unit_axis: int | None,
    forward_fn: Forward | None,
) -> Iterator[tuple[NDArray[np.int64], Activations]]:
    """Positions of a chunk of points and, per layer, activations averaged over positions and views (B, U)."""
    if n_views is not None and n_views < 1:
        raise ValueError(f"n_views must be >= 1, got {n_views}")
    numbers = [CLEAN] if n_views is None else list(range(n_views))
    schedule = [[number] for number in numbers] if views.is_graph else [numbers]

    def reduce(_name: str, output: Tensor) -> NDArray[np.float64]:
        units = output.clamp(min=0) if rectify else output
        axis = unit_axis_of(units, unit_axis)
        units = units.movedim(axis, -1).flatten(1, -2) if units.ndim > 2 else units.unsqueeze(1)
        return units.double().mean(dim=1).cpu().numpy()

    with reading([encoder], layers, forward_fn) as [reader]:
        total: Activations = {}
        for call, batch in enumerate(views.batches(schedule)):
            if call == 0:
                refuse_stochastic([reader], batch)
            for name, rows in reader.read(batch, reduce).items():
                part = rows.reshape(batch.n_views, len(batch.positions), -1).sum(axis=0) / len(numbers)
                total[name] = total[name] + part if name in total else part
            if (call + 1) % len(schedule) == 0:
                yield batch.positions, total
                total = {}


def classmem(
    encoder: Encoder,
    data: Any,
    labels: ArrayLike,
    layers: Sequence[str],
    *,
    negative: Negative = "raise",
    unit_axis: int | None = None,
    batch_size: int = 256,
    forward_fn: Forward | None = None,
) -> dict[str, ClassMem]:
    """How exclusively one class excites each unit of the named layers, on training data.

    ClassMem(u) = (mu_max - mu_rest) / (mu_max + mu_rest) over class means of activation_u, without
    augmentation, as in ``classmem_from_activations``.

    Args:
        encoder: module.
        data: points of the *training* data; see ``alignment_loss``.
        labels: class per point, shape (n,), at least two classes.
        layers: dotted names, after the ReLU.
        negative: see ``unitmem``.
        unit_axis: see ``unitmem``.
        batch_size: points per encoder call.
        forward_fn: see ``alignment_loss``.

    Returns:
        ClassMem per layer, in execution order.

    Raises:
        ValueError: labels of another length or one class only, and as ``unitmem``.

    Example:
        >>> import torch
        >>> net = torch.nn.Sequential(torch.nn.ReLU())
        >>> classmem(net, torch.tensor([[3.0], [3.0], [1.0]]), [0, 0, 1], ["0"])["0"].scores
        array([0.5])

    Source: Wang et al., NeurIPS 2024 (the published script averages over images, not over classes).
    """
    views = Views(data, same_point, seed=0, batch_size=batch_size)
    names = np.asarray(labels)
    if names.shape != (views.n,):
        raise ValueError(
            f"labels must name a class for each of the {views.n} points, got shape {names.shape}"
        )
    ClassMemAccumulator(names)  # refuses a single class before any work
    accumulators: dict[str, ClassMemAccumulator] = {}
    stream = mean_activations(
        encoder, views, layers, n_views=None, rectify=negative == "relu", unit_axis=unit_axis,
        forward_fn=forward_fn,
    )  # fmt: skip
    for positions, activations in stream:
        for name, rows in activations.items():
            accumulator = accumulators.setdefault(name, ClassMemAccumulator(names, negative=negative))
            accumulator.update(rows, names[positions])
    return {name: accumulator.compute() for name, accumulator in accumulators.items()}


def class_selectivity(
    encoder: Encoder,
    data: Any,
    labels: ArrayLike,
    layers: Sequence[str],
    *,
    negative: Negative = "raise",
    unit_axis: int | None = None,
    batch_size: int = 256,
    forward_fn: Forward | None = None,
) -> dict[str, ClassMem]:
    """How exclusively one class excites each unit, on *test* data: ``classmem`` where nothing was trained.

    The same quotient; the difference of the two, at equal numbers of points and classes, is what training
    on the very points adds.

    Args:
        encoder: see ``classmem``.
        data: points of the test data.
        labels: see ``classmem``.
        layers: see ``classmem``.
        negative: see ``classmem``.
        unit_axis: see ``classmem``.
        batch_size: see ``classmem``.
        forward_fn: see ``classmem``.

    Returns:
        Selectivity per layer, in execution order.

    Raises:
        ValueError: as ``classmem``.

    Example:
        >>> import torch
        >>> net = torch.nn.Sequential(torch.nn.ReLU())
        >>> class_selectivity(net, torch.tensor([[2.0], [2.0]]), ["a", "b"], ["0"])["0"].scores
        array([0.])

    Source: Morcos et al., ICLR 2018.
    """
    return classmem(
        encoder, data, labels, layers, negative=negative, unit_axis=unit_axis, batch_size=batch_size,
        forward_fn=forward_fn,
    )  # fmt: skip
