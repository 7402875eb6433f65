"""Study of an inserted image: one unit is trained on it, and UnitMem has to find that unit.

What the statistic is, and the rule that it is put through, stands in ``book/claims.yml``.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from trustlib.encoders import evaluating, tap_layers
from trustlib.memorization.interventions import tune_unit, unit_axis_of
from trustlib.memorization.regularizer import alignment_term
from trustlib.memorization.unit_evidence import StudyEvidence, table_of
from trustlib.memorization.unit_responses import as_images, gathered
from trustlib.memorization.units import unitmem_from_activations
from trustlib.memorization.views import Augment, Views

if TYPE_CHECKING:
    from torch import Tensor, nn

Floats = NDArray[np.float64]
Objective = Literal["alignment", "response"]
Loss = Callable[["nn.Module"], "Tensor"]


def insertion(
    encoder: nn.Module,
    points: Any,
    inserted: Any,
    augment: Augment,
    layers: Sequence[str],
    *,
    tuned: str,
    objective: Objective = "alignment",
    n_views: int = 10,
    steps: int = 50,
    learning_rate: float = 0.025,
    rectify: bool = False,
    seed: int = 0,
) -> StudyEvidence:
    """Samples for memorization-21: train one unit on one image, and see whether UnitMem finds it.

    The unit of the last layer with the largest mean activation on any point (the image among them) takes gradient
    steps on the image; all other weights stay as they are. Objectives:

    - ``alignment``: mean(1 - cos) between pairs of the image's views at the encoder's output, which is SimSiam's loss
      without its predictor. One image alone cannot say how a unit should treat others: a unit that fires for
      everything aligns the views as well.
    - ``response``: -log(1 + r), r the unit's mean activation on the image's views over what it was at first.

    Args:
        encoder: any module; not changed.
        points: images that UnitMem is taken over, uint8 or float, shape (N, C, H, W), N >= 2.
        inserted: images to insert, one after the other, that the encoder was not trained on, shape (m, C, H, W).
        augment: of the training.
        layers: dotted names behind the ReLU, in order of execution; the last one reads the tuned layer.
        tuned: dotted name of the convolution or linear layer whose filter is trained; what ``layers[-1]`` reads.
        objective: what the unit is trained for.
        n_views: views per image, even, >= 2; the same for tuning and scoring.
        steps: gradient steps; the paper reports 10, 50, 200 and 1000 epochs on the one image.
        learning_rate: of the gradient steps; the paper's for SimSiam.
        rectify: see `unit_responses`.
        seed: of the views and of the choice of the other unit.

    Returns:
        Samples tuned_unit and earlier_units, one per inserted image; controls other_unit (the same unit when another
        one was tuned) and whole_encoder (the largest change in earlier layers when all layers are tuned). Table:
        image, arm ("top unit", "quiet unit", "other unit", "all layers"), unit (tuned), before and after (UnitMem of
        that unit; of the top unit for the last two arms), earlier (largest absolute change in earlier layers), owns
        (whether the image excites the unit most afterwards), loss_before, loss_after. The quiet unit is the one with
        the smallest mean activation on any point.

    Raises:
        ValueError: an odd number of views, fewer than two layers or two units, or as `unit_responses`.

    Example:
        >>> import torch
        >>> from trustlib.encoders import augmentation
        >>> conv = [torch.nn.Conv2d(channels, 4, 3) for channels in (3, 4)]
        >>> net = torch.nn.Sequential(conv[0], torch.nn.ReLU(), conv[1], torch.nn.ReLU())
        >>> x = torch.rand(6, 3, 8, 8, generator=torch.Generator().manual_seed(0))
        >>> found = insertion(net, x[:5], x[5:], augmentation("weak"), ["1", "3"], tuned="2", n_views=2, steps=1)
        >>> found.samples["earlier_units"].tolist(), found.controls["other_unit"].tolist()
        ([0.0], [0.0])

    Source: Wang et al., NeurIPS 2024, section 5.2 and table 13 (there with the loss of SimSiam).
    """
    if n_views < 2 or n_views % 2 or len(layers) < 2:
        raise ValueError(
            f"insertion needs an even n_views >= 2 and two layers at least, got {n_views} and {len(layers)}"
        )
    if objective not in get_args(Objective):
        raise ValueError(f"objective must be one of {', '.join(get_args(Objective))}, got {objective!r}")
    pool, extra = as_images(points, "points"), as_images(inserted, "inserted")
    rng = np.random.default_rng(seed)
    scored = _Scorer(augment, layers, n_views, rectify, seed)
    base = scored.responses(encoder, pool)
    rows = []
    for image, pixels in enumerate(extra):
        index = len(pool) + image
        before = scored.appended(base, encoder, pixels[None], index)
        largest = before[layers[-1]].max(axis=0)
        if len(largest) < 2:
            raise ValueError(
                f"insertion needs a layer of two units at least, {layers[-1]!r} has {len(largest)}"
            )
        top, quiet = int(largest.argmax()), int(largest.argmin())
        other = int(rng.choice(np.delete(np.arange(len(largest)), top)))
        views = scored.views(pixels, index)
        for arm, (unit, watched) in {
            "top unit": (top, top), "quiet unit": (quiet, quiet), "other unit": (other, top), "all layers": (top, top),
        }.items():  # fmt: skip
            loss = _loss(objective, encoder, views, layers[-1], unit)
            chosen = None if arm == "all layers" else unit
            model = _tuned(encoder, tuned, chosen, loss, steps=steps, learning_rate=learning_rate)
            after = scored.appended(scored.responses(model, pool), model, pixels[None], index)
            row = {"image": image, "arm": arm, "unit": unit} | _compared(before, after, layers, watched)
            rows.append(row | {"loss_before": _value(loss, encoder), "loss_after": _value(loss, model)})
    table = table_of(rows)
    rise = {arm: (part["after"] - part["before"]).to_numpy() for arm, part in table.groupby("arm")}
    earlier = {arm: part["earlier"].to_numpy() for arm, part in table.groupby("arm")}
    return StudyEvidence(
        {"tuned_unit": rise["top unit"], "earlier_units": earlier["top unit"]},
        {"other_unit": rise["other unit"], "whole_encoder": earlier["all layers"]},
        table,
    )


# ------------------------------------------------------------------------------------------------------ statistics


class _Scorer:
    """Responses of points under fixed views, for many encoders."""

    def __init__(
        self, augment: Augment, layers: Sequence[str], n_views: int, rectify: bool, seed: int
    ) -> None:
        self.augment, self.layers, self.n_views = augment, layers, n_views
        self.rectify, self.seed = rectify, seed

    def responses(self, encoder: nn.Module, images: Tensor, start: int = 0) -> dict[str, Floats]:
        """Mean activations by layer, (n, U)."""
        index = np.arange(start, start + len(images))
        views = Views(images, self.augment, seed=self.seed, batch_size=256, index=index)
        return gathered(encoder, views, self.layers, n_views=self.n_views, rectify=self.rectify)

    def appended(
        self, base: dict[str, Floats], encoder: nn.Module, image: Tensor, index: int
    ) -> dict[str, Floats]:
        """The responses of the points and, as last row, of one more image."""
        own = self.responses(encoder, image, start=index)
        return {layer: np.concatenate([rows, own[layer]]) for layer, rows in base.items()}

    def views(self, image: Tensor, index: int) -> Tensor:
        """The views of one image that it is scored by, (V, C, H, W)."""
        drawn = Views(image[None], self.augment, seed=self.seed, batch_size=256, index=[index])
        [batch] = drawn.batches([list(range(self.n_views))])
        return batch.inputs


def _loss(objective: Objective, encoder: nn.Module, views: Tensor, layer: str, unit: int) -> Loss:
    """The objective of one unit on the views of one image, as a function of the encoder."""

    def alignment(model: nn.Module) -> Tensor:
        first, second = model(views).flatten(1).chunk(2)
        return alignment_term(first, second, distance="cosine")

    def activation(model: nn.Module) -> Tensor:
        with tap_layers(model, [layer]) as taps:
            model(views)
        rows = taps[layer]
        return rows.movedim(unit_axis_of(rows, None), -1)[..., unit].mean()

    if objective == "alignment":
        return alignment
    scale = _value(activation, encoder) or 1.0  # a silent unit has no response to compare with
    return lambda model: -(activation(model) / scale).log1p()


def _value(loss: Loss, model: nn.Module) -> float:
    """The objective as a number, in evaluation mode."""
    with evaluating(model):
        return float(loss(model))


def _tuned(
    encoder: nn.Module, layer: str, unit: int | None, loss: Loss, *, steps: int, learning_rate: float
) -> nn.Module:
    """A copy with one unit tuned, or all parameters of the encoder where no unit is named."""
    import torch

    if unit is not None:
        return tune_unit(encoder, layer, unit, loss, steps=steps, learning_rate=learning_rate)
    tuned = copy.deepcopy(encoder).eval()
    parameters = [p.requires_grad_(True) for p in tuned.parameters()]
    with torch.enable_grad():
        for step in range(steps):
            value = loss(tuned)
            if not bool(torch.isfinite(value)):
                raise ValueError(
                    f"the loss is {value.item()} at step {step}; lower learning_rate={learning_rate}"
                )
            gradients = torch.autograd.grad(value, parameters, allow_unused=True)
            with torch.no_grad():
                for parameter, gradient in zip(parameters, gradients, strict=True):
                    if gradient is not None:
                        parameter -= learning_rate * gradient
    return tuned


def _compared(
    before: dict[str, Floats], after: dict[str, Floats], layers: Sequence[str], unit: int
) -> dict[str, Any]:
    """UnitMem of a unit of the last layer before and after, and the largest change in earlier layers."""
    old, new = ({name: unitmem_from_activations(rows[name]) for name in layers} for rows in (before, after))
    changes = [np.abs(new[name].scores - old[name].scores).max() for name in layers[:-1]]
    last = layers[-1]
    return {
        "before": float(old[last].scores[unit]), "after": float(new[last].scores[unit]),
        "earlier": float(max(changes)), "owns": bool(new[last].argmax[unit] == len(after[last]) - 1),
    }  # fmt: skip
