"""Interventions on trained encoders: silence units, replace layers, train some layers or one unit only."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trustlib.encoders import evaluating, find_layer

if TYPE_CHECKING:
    from torch import Tensor, nn

PruneArm = Literal["top", "low", "random"]
Scope = Literal["per_layer", "total"]


def unit_axis_of(output: Tensor, unit_axis: int | None) -> int:
    """Axis of the units: 1 for feature maps (B, U, H, W), the last for rows (B, U) and tokens (B, T, U)."""
    if unit_axis is not None:
        return unit_axis % output.ndim
    return 1 if output.ndim >= 4 else output.ndim - 1


@contextmanager
def pruned(
    model: nn.Module, masks: Mapping[str, ArrayLike | Tensor], *, unit_axis: int | None = None
) -> Iterator[nn.Module]:
    """Silences units while the context lasts: their activations are 0, weights stay as they are.

    The *output* of each named layer is multiplied by 0 for pruned units. Zeroing the weights of a convolution
    in front of a BatchNorm would leave the constant that the normalisation adds: name the layer behind
    the normalisation (or its activation function) to prune what the next layer sees.

    Args:
        model: any module; changed inside the context only, also if an exception leaves it.
        masks: by dotted layer name, bool of shape (U,), True = pruned. A unit is an output channel or neuron.
        unit_axis: axis of the units in the outputs; default 1 for 4-d and 5-d outputs, else the last. Give -1
            for channels-last feature maps.

    Yields:
        The model.

    Raises:
        ValueError: unknown layer, a mask that is not bool, or a mask of another length than the layer.

    Example:
        >>> import torch
        >>> model = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.ReLU())
        >>> with torch.no_grad(), pruned(model, {"1": [True, False]}):
        ...     bool((model(torch.ones(5, 2))[:, 0] == 0).all())
        True

    Source: Wang et al., NeurIPS 2024, section 5 and table 6 (the published script prunes parameter rows).
    """
    keep = {name: _keep(name, mask) for name, mask in masks.items()}
    layers = {name: find_layer(model, name) for name in masks}
    handles = []
    try:
        for name, layer in layers.items():
            handles.append(layer.register_forward_hook(_silencer(name, keep[name], unit_axis)))
        yield model
    finally:
        for handle in handles:
            handle.remove()


def _keep(name: str, mask: ArrayLike | Tensor) -> NDArray[np.bool_]:
    """True where a unit stays."""
    array = np.asarray(mask)
    if array.ndim != 1 or array.dtype != np.bool_:
        raise ValueError(
            f"mask of layer {name!r} must be bool of shape (U,), got {array.dtype} {array.shape}"
        )
    return ~array


def _silencer(
    name: str, keep: NDArray[np.bool_], unit_axis: int | None
) -> Callable[[nn.Module, object, Tensor], Tensor]:
    """Forward hook that zeroes units; refuses outputs that do not fit."""
    import torch

    def hook(_module: nn.Module, _inputs: object, output: Tensor) -> Tensor:
        if not isinstance(output, torch.Tensor):
            raise ValueError(
                f"layer {name!r} returns {type(output).__name__}, not a tensor; name a layer in it"
            )
        axis = unit_axis_of(output, unit_axis)
        if output.shape[axis] != len(keep):
            raise ValueError(
                f"mask of layer {name!r} has {len(keep)} units but its output {tuple(output.shape)} has "
                f"{output.shape[axis]} on axis {axis}; pass unit_axis= if the units are elsewhere"
            )
        shape = [1] * output.ndim
        shape[axis] = len(keep)
        kept = torch.from_numpy(keep).to(output.device).reshape(shape)
        return torch.where(kept, output, torch.zeros((), dtype=output.dtype, device=output.device))

    return hook


def pruning_masks(
    scores: Mapping[str, ArrayLike],
    *,
    share: float,
    arm: PruneArm,
    scope: Scope = "per_layer",
    seed: int = 0,
) -> dict[str, NDArray[np.bool_]]:
    """Which units to prune: the highest-scoring, the lowest-scoring, or random ones.

    Args:
        scores: by layer name, shape (U,), nan not allowed.
        share: of the units, in [0, 1]; rounded to whole units.
        arm: "top", "low" or "random".
        scope: the share of every layer, or of all units of all layers together (then by score across layers).
        seed: of the random arm.

    Returns:
        Masks for ``pruned``, True = pruned. Ties go to the earlier layer and unit.

    Raises:
        ValueError: share outside [0, 1], unknown arm or scope, or nan scores.

    Example:
        >>> pruning_masks({"conv": [0.1, 0.9, 0.4, 0.2]}, share=0.5, arm="top")
        {'conv': array([False,  True,  True, False])}

    Source: Wang et al., NeurIPS 2024, table 6.
    """
    if not 0 <= share <= 1:
        raise ValueError(f"share must be a fraction in [0, 1], got {share}")
    if arm not in get_args(PruneArm) or scope not in get_args(Scope):
        raise ValueError(
            f"arm must be one of {get_args(PruneArm)} and scope of {get_args(Scope)}; got {arm!r}, {scope!r}"
        )
    values = {name: np.asarray(value, dtype=np.float64) for name, value in scores.items()}
    for name, value in values.items():
        if value.ndim != 1 or np.isnan(value).any():
            raise ValueError(f"scores of layer {name!r} must have shape (U,) and no nan, got {value.shape}")
    rng = np.random.default_rng(seed)
    if scope == "per_layer":
        return {name: _marked(value, share, arm, rng) for name, value in values.items()}
    pooled = _marked(np.concatenate(list(values.values())), share, arm, rng)
    ends = np.cumsum([len(value) for value in values.values()])[:-1]
    return dict(zip(values, np.split(pooled, ends), strict=True))


def _marked(
    values: NDArray[np.float64], share: float, arm: PruneArm, rng: np.random.Generator
) -> NDArray[np.bool_]:
    """Marks a share of the units of one pool."""
    count = round(share * len(values))
    orders = {
        "top": lambda: np.argsort(-values, kind="stable"),
        "low": lambda: np.argsort(values, kind="stable"),
    }
    order = rng.permutation(len(values)) if arm == "random" else orders[arm]()
    mask = np.zeros(len(values), dtype=bool)
    mask[order[:count]] = True
    return mask


def swap_layers(model: nn.Module, donor: nn.Module, names: Sequence[str]) -> nn.Module:
    """A copy of the model in which the named layers hold the donor's weights and buffers.

    Args:
        model: the encoder; not changed.
        donor: same architecture, trained on something else.
        names: dotted names of layers in both.

    Returns:
        A new module, in the training state of ``model``.

    Raises:
        ValueError: unknown layer, or weights of other names or shapes.

    Example:
        >>> import torch
        >>> a, b = (torch.nn.Sequential(torch.nn.Linear(1, 1), torch.nn.Linear(1, 1)) for _ in range(2))
        >>> mixed = swap_layers(a, b, ["1"])
        >>> bool(mixed[1].weight == b[1].weight), bool(mixed[0].weight == a[0].weight)
        (True, True)

    Source: Wang et al., NeurIPS 2024, appendix C.7 and table 21.
    """
    pairs = [(find_layer(model, name), find_layer(donor, name)) for name in names]
    for name, (ours, theirs) in zip(names, pairs, strict=True):
        shapes, donor_shapes = _shapes(ours), _shapes(theirs)
        if shapes != donor_shapes:
            raise ValueError(
                f"layer {name!r} cannot be replaced: it holds {shapes}, the donor {donor_shapes}"
            )
    mixed = copy.deepcopy(model)
    for name, (_, theirs) in zip(names, pairs, strict=True):
        find_layer(mixed, name).load_state_dict(theirs.state_dict(), strict=True)
    return mixed


def _shapes(module: nn.Module) -> dict[str, tuple[int, ...]]:
    """Shapes of all weights and buffers."""
    return {key: tuple(value.shape) for key, value in module.state_dict().items()}


@contextmanager
def freeze_except(model: nn.Module, names: Sequence[str]) -> Iterator[list[nn.Parameter]]:
    """Only the parameters of the named layers require gradients while the context lasts.

    Args:
        model: any module; its ``requires_grad`` flags come back afterwards, also after an exception.
        names: dotted layer names; none freezes everything.

    Yields:
        The trainable parameters, each once, in the order of the model.

    Raises:
        ValueError: unknown layer, or named layers without any parameter.

    Example:
        >>> import torch
        >>> model = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.Linear(3, 1))
        >>> with freeze_except(model, ["1"]) as parameters:
        ...     sum(p.numel() for p in parameters), model[0].weight.requires_grad
        (4, False)

    Source: Wang et al., NeurIPS 2024, table 5.
    """
    layers = [find_layer(model, name) for name in names]
    chosen = {id(parameter) for layer in layers for parameter in layer.parameters()}
    if names and not chosen:
        raise ValueError(f"layers {list(names)} hold no parameters, so nothing could be trained")
    before = [(parameter, parameter.requires_grad) for parameter in model.parameters()]
    try:
        for parameter, _ in before:
            parameter.requires_grad_(id(parameter) in chosen)
        yield [parameter for parameter, _ in before if id(parameter) in chosen]
    finally:
        for parameter, flag in before:
            parameter.requires_grad_(flag)


def tune_unit(
    model: nn.Module,
    layer: str,
    unit: int,
    loss: Callable[[nn.Module], Tensor],
    *,
    steps: int,
    learning_rate: float,
) -> nn.Module:
    """A copy of the model in which one unit was trained and every other weight is bit for bit the same.

    Plain gradient steps on the rows of the layer's parameters that belong to the unit. The copy runs in
    evaluation mode throughout, so that no running statistics move. Made to insert a memorized point into a
    unit, and to see whether UnitMem finds it.

    Args:
        model: the encoder; not changed.
        layer: dotted name of a layer whose parameters have the units on axis 0 (convolution, linear, norm).
        unit: index on that axis.
        loss: scalar to lower, given the copy; for example the alignment loss of one image.
        steps: gradient steps, >= 1.
        learning_rate: > 0.

    Returns:
        The tuned copy, in the training state of ``model``.

    Raises:
        ValueError: unknown layer, a layer without own parameters, unit out of range, steps or rate not
            positive, or a loss that is not finite.

    Example:
        >>> import torch
        >>> model = torch.nn.Sequential(torch.nn.Linear(2, 3))
        >>> tuned = tune_unit(model, "0", 1, lambda m: -m(torch.ones(1, 2))[0, 1], steps=2, learning_rate=0.1)
        >>> (tuned[0].weight != model[0].weight).any(dim=1).tolist()
        [False, True, False]

    Source: Wang et al., NeurIPS 2024, section 5.2 (the published script copies the old unit back).
    """
    import torch

    own = dict(find_layer(model, layer).named_parameters(recurse=False))
    if not own:
        raise ValueError(
            f"layer {layer!r} holds no parameters of its own; name the convolution or linear layer"
        )
    units = min(len(parameter) for parameter in own.values())
    if not 0 <= unit < units:
        raise ValueError(f"unit {unit} is out of range, layer {layer!r} has {units} units")
    if steps < 1 or learning_rate <= 0:
        raise ValueError(f"steps must be >= 1 and learning_rate > 0, got {steps} and {learning_rate}")
    tuned = copy.deepcopy(model)
    with evaluating(tuned, gradients=True), freeze_except(tuned, [layer]):
        parameters = list(find_layer(tuned, layer).parameters(recurse=False))
        for step in range(steps):
            value = loss(tuned)
            if not bool(torch.isfinite(value)):
                raise ValueError(
                    f"the loss is {value.item()} at step {step}; lower learning_rate={learning_rate}"
                )
            gradients = torch.autograd.grad(value, parameters)
            with torch.no_grad():
                for parameter, gradient in zip(parameters, gradients, strict=True):
                    parameter[unit] -= learning_rate * gradient[unit]
    return tuned
