"""Responses of units, measured once for all unit studies: seen, unseen and redrawn views, and an untrained network."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trustlib.memorization.activations import mean_activations, same_point
from trustlib.memorization.units import unitmem_from_activations
from trustlib.memorization.views import Augment, Views

if TYPE_CHECKING:
    from torch import Tensor, nn

Floats = NDArray[np.float64]
Responses = dict[str, Floats]  # layer -> (N, U)


@dataclass(frozen=True)
class UnitResponses:
    """Mean activations of one encoder's units on images that it saw and on as many that it did not.

    Every entry maps a layer, in order of execution, to an array (N, U), averaged over positions and views.

    Args:
        members: training images.
        redrawn: the same images under other views.
        clean: the same images without augmentation.
        heldout: images that were not trained on, as many.
        heldout_clean: the same without augmentation.
        untrained: an untrained network on the training images.
        untrained_heldout: the same network on the held-out images.
        n_views: views per image.
    """

    members: Responses
    redrawn: Responses
    clean: Responses
    heldout: Responses
    heldout_clean: Responses
    untrained: Responses
    untrained_heldout: Responses
    n_views: int

    def __post_init__(self) -> None:
        shapes = {layer: rows.shape for layer, rows in self.members.items()}
        if not shapes:
            raise ValueError("UnitResponses needs at least one layer")
        for name in ("redrawn", "clean", "heldout", "heldout_clean", "untrained", "untrained_heldout"):
            other = {layer: rows.shape for layer, rows in getattr(self, name).items()}
            if other != shapes:
                raise ValueError(
                    f"{name} must hold the layers and shapes of members, {shapes}, got {other}: UnitMem grows "
                    "with the number of points, so all sets need as many"
                )

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of the layers in order of execution."""
        return tuple(self.members)

    @property
    def n(self) -> int:
        """Number of training images, and of held-out images."""
        return len(next(iter(self.members.values())))


def unit_responses(
    encoder: nn.Module,
    members: Any,
    heldout: Any,
    augment: Augment,
    layers: Sequence[str],
    *,
    untrained: nn.Module | None = None,
    n_views: int = 10,
    rectify: bool = False,
    seed: int = 0,
    batch_size: int = 256,
) -> UnitResponses:
    """Responses of an encoder's units and of an untrained network's, for all studies of units.

    mu_u(x) = mean over ``n_views`` views and over positions of unit u. Five passes over the members (two of them
    through the untrained network or without views), three over the held-out images.

    Args:
        encoder: any trained module from images to features.
        members: images that it was trained on, uint8 or float in [0, 1], shape (N, C, H, W), N >= 2.
        heldout: images of the same distribution that it was not trained on, same shape.
        augment: of the training.
        layers: dotted names behind the ReLU, where units are >= 0.
        untrained: reference network with the same layers; None takes ``untrained_copy`` of the encoder.
        n_views: views per image, 10 in the paper.
        rectify: take max(activation, 0) before the mean, for layers without a ReLU; say so where it is used.
        seed: of the views; ``redrawn`` has other views, and the untrained network starts from it.
        batch_size: views per forward pass.

    Returns:
        All responses.

    Raises:
        ValueError: unequal numbers of images, unknown layers, or a random encoder.

    Example:
        >>> import torch
        >>> from trustlib.encoders import augmentation
        >>> net = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.ReLU())
        >>> images = torch.rand(12, 3, 8, 8, generator=torch.Generator().manual_seed(0))
        >>> found = unit_responses(net, images[:6], images[6:], augmentation("weak"), ["2"], n_views=2)
        >>> found.members["2"].shape, found.n
        ((6, 4), 6)

    Source: Wang et al., NeurIPS 2024, eq. 5 (activation) and 6; held-out and untrained references are ours.
    """
    seen, unseen = as_images(members, "members"), as_images(heldout, "heldout")
    if len(seen) != len(unseen) or len(seen) < 2:
        raise ValueError(
            f"unit_responses needs as many held-out images as members, at least 2, got {len(unseen)} and "
            f"{len(seen)}: UnitMem grows with the number of points. Cut the larger set"
        )
    fresh = untrained_copy(encoder, seen, seed=seed) if untrained is None else untrained

    def measure(
        model: nn.Module, images: Tensor, views: int | None, other: int = 0, start: int = 0
    ) -> Responses:
        drawn = Views(
            images, same_point if views is None else augment, seed=seed + other, batch_size=batch_size,
            index=np.arange(start, start + len(images)),
        )  # fmt: skip
        return gathered(model, drawn, layers, n_views=views, rectify=rectify)

    n = len(seen)
    return UnitResponses(
        members=measure(encoder, seen, n_views),
        redrawn=measure(encoder, seen, n_views, other=_OTHER_VIEWS),
        clean=measure(encoder, seen, None),
        heldout=measure(encoder, unseen, n_views, start=n),
        heldout_clean=measure(encoder, unseen, None, start=n),
        untrained=measure(fresh, seen, n_views),
        untrained_heldout=measure(fresh, unseen, n_views, start=n),
        n_views=n_views,
    )


def clean_responses(
    encoder: nn.Module, images: Any, layers: Sequence[str], *, rectify: bool = False, batch_size: int = 256
) -> Responses:
    """Responses of units to images as they are, averaged over positions, by layer (N, U); for class selectivity.

    Args:
        encoder: any module from images to features.
        images: uint8 or float in [0, 1], shape (N, C, H, W).
        layers: dotted names.
        rectify: see `unit_responses`.
        batch_size: images per forward pass.

    Example:
        >>> import torch
        >>> clean_responses(torch.nn.Sequential(torch.nn.ReLU()), torch.tensor([[2.0], [1.0]]), ["0"])["0"].tolist()
        [[2.0], [1.0]]

    Source: Wang et al., NeurIPS 2024, eq. 5 without augmentation.
    """
    views = Views(as_images(images, "images"), same_point, seed=0, batch_size=batch_size)
    return gathered(encoder, views, layers, n_views=None, rectify=rectify)


_OTHER_VIEWS = 1_000_003  # added to the seed for views that share nothing with the first ones


def gathered(
    encoder: nn.Module, views: Views, layers: Sequence[str], *, n_views: int | None, rectify: bool
) -> Responses:
    """Mean activations of all points in one array per layer, (N, U)."""
    parts: dict[str, list[Floats]] = {}
    stream = mean_activations(
        encoder, views, layers, n_views=n_views, rectify=rectify, unit_axis=None, forward_fn=None
    )
    for _, activations in stream:
        for name, rows in activations.items():
            parts.setdefault(name, []).append(rows)
    return {name: np.concatenate(rows) for name, rows in parts.items()}


def untrained_copy(encoder: nn.Module, images: Any, *, seed: int, batch_size: int = 256) -> nn.Module:
    """The same network before training: fresh weights, and normalisation calibrated on images.

    Every module draws its weights anew by its own ``reset_parameters``. Batch statistics are then averaged over one
    pass through the images, because with the initial ones (mean 0, variance 1) units of deep layers would sit far
    from where a trained network keeps them, and UnitMem, which is not invariant to shifts, could not be compared.

    Args:
        encoder: any module; not changed.
        images: shape (n, C, H, W), uint8 or float in [0, 1].
        seed: of the weights. The global random state is not touched.
        batch_size: images per forward pass.

    Returns:
        A new module in evaluation mode.

    Raises:
        ValueError: a module that holds parameters but cannot reset them.

    Example:
        >>> import torch
        >>> net = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4))
        >>> fresh = untrained_copy(net, torch.rand(8, 3, 8, 8), seed=1)
        >>> bool((fresh[0].weight != net[0].weight).all()), fresh[1].running_mean.abs().max() > 0
        (True, tensor(True))

    Source: ours.
    """
    import torch

    pixels = as_images(images, "images")
    fresh = copy.deepcopy(encoder)
    norms = [m for m in fresh.modules() if isinstance(m, torch.nn.modules.batchnorm._BatchNorm)]
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # torch.manual_seed would also seed other devices
        for name, module in fresh.named_modules():
            own = list(module.parameters(recurse=False))
            if own and not hasattr(module, "reset_parameters"):
                raise ValueError(
                    f"module {name!r} ({type(module).__name__}) holds parameters but has no reset_parameters(); "
                    "build an untrained network yourself and pass it as untrained="
                )
            if own or module in norms:
                module.reset_parameters()
        momenta = [norm.momentum for norm in norms]
        fresh.eval()
        for norm in norms:
            norm.momentum = None  # a plain average over the batches
            norm.train()
        for batch in pixels.split(batch_size) if norms else ():
            fresh(batch)
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
    return fresh.eval()


def as_images(images: Any, what: str) -> Tensor:
    """Images as a float tensor (n, ...) in [0, 1]; uint8 is divided by 255."""
    import torch

    tensor = images if isinstance(images, torch.Tensor) else torch.tensor(np.ascontiguousarray(images))
    if tensor.ndim < 2 or not len(tensor):
        raise ValueError(f"{what} must be images of shape (n, ...), n >= 1, got {tuple(tensor.shape)}")
    if tensor.dtype == torch.uint8:
        return tensor.float() / 255
    if not tensor.is_floating_point():
        raise TypeError(f"{what} must be uint8 or floating point in [0, 1], got {tensor.dtype}")
    return tensor


@dataclass(frozen=True)
class UnitGallery:
    """The images that excite some units most, among those that the encoder saw and among those that it did not.

    Args:
        layer: dotted name.
        units: indices of the units, shape (u,).
        unitmem: UnitMem of the units on members, shape (u,).
        unitmem_heldout: UnitMem on as many held-out images, shape (u,).
        members: indices of the top members, shape (u, k), best first.
        heldout: indices of the top held-out images, shape (u, k).
        member_response: their mean activations, shape (u, k).
        heldout_response: their mean activations, shape (u, k).
    """

    layer: str
    units: NDArray[np.int64]
    unitmem: Floats
    unitmem_heldout: Floats
    members: NDArray[np.int64]
    heldout: NDArray[np.int64]
    member_response: Floats
    heldout_response: Floats


def unit_gallery(
    responses: UnitResponses,
    *,
    layer: str | None = None,
    units: ArrayLike | None = None,
    n_units: int = 4,
    k: int = 4,
) -> UnitGallery:
    """What excites a unit most: its favourite training images, and beside them its favourite held-out images.

    Args:
        responses: of one encoder.
        layer: dotted name; None takes the last one.
        units: which; None takes the ``n_units`` with the highest UnitMem.
        n_units: how many, >= 1.
        k: images per unit and set, 1 to N.

    Returns:
        Indices into the members and held-out images, and the responses.

    Raises:
        ValueError: unknown layer, unit or number.

    Example:
        >>> rows = {"a": np.array([[3.0], [1.0]])}
        >>> found = unit_gallery(UnitResponses(*[rows] * 7, n_views=1), n_units=1, k=2)
        >>> found.members.tolist(), found.unitmem.tolist()
        ([[0, 1]], [0.5])

    Source: ours.
    """
    name = layer_of(responses, layer)
    seen, unseen = responses.members[name], responses.heldout[name]
    if not 1 <= k <= len(seen) or n_units < 1:
        raise ValueError(f"k must be in 1 to {len(seen)} and n_units >= 1, got k={k}, n_units={n_units}")
    scores, other = (unitmem_from_activations(rows).scores for rows in (seen, unseen))
    chosen = (
        np.argsort(-scores, kind="stable")[:n_units] if units is None else np.asarray(units, dtype=np.int64)
    )
    if chosen.ndim != 1 or not len(chosen) or chosen.min() < 0 or chosen.max() >= len(scores):
        raise ValueError(
            f"units must be indices in 0 to {len(scores) - 1} of layer {name!r}, got {chosen.tolist()}"
        )
    top = [np.argsort(-rows[:, chosen], axis=0, kind="stable")[:k].T for rows in (seen, unseen)]
    values = [rows[index, chosen[:, None]] for rows, index in zip((seen, unseen), top, strict=True)]
    return UnitGallery(name, chosen, scores[chosen], other[chosen], top[0], top[1], values[0], values[1])


def layer_of(responses: UnitResponses, layer: str | None) -> str:
    """The named layer, or the last one."""
    if layer is None:
        return responses.layers[-1]
    if layer not in responses.layers:
        raise ValueError(f"unknown layer {layer!r}; there are {', '.join(responses.layers)}")
    return layer
