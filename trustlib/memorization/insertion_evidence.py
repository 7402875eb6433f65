"""Study of an inserted image: one unit is trained on it, and UnitMem has to find that unit.

What the statistic is, and the rule that it is put through, stands in ``book/claims.yml``.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from trustlib.memorization.interventions import tune_unit
from trustlib.memorization.regularizer import alignment_term
from trustlib.memorization.unit_evidence import StudyEvidence, table_of
from trustlib.memorization.unit_responses import as_images, gathered
from trustlib.memorization.units import unitmem_from_activations
from trustlib.memorization.views import Augment, Views

if TYPE_CHECKING:
    from torch import Tensor, nn

Floats = NDArray[np.float64]


def insertion(
    encoder: nn.Module,
    points: Any,
    inserted: Any,
    augment: Augment,
    layers: Sequence[str],
    *,
    tuned: str,
    n_views: int = 10,
    steps: int = 100,
    learning_rate: float = 0.1,
    rectify: bool = False,
    seed: int = 0,
) -> StudyEvidence:
    """Samples for memorization-21: train one unit on one image, and see whether UnitMem finds it.

    The unit of the last layer with the largest mean activation on any point (the image among them) takes gradient
    steps on the alignment of the image's views, mean(1 - cos) between pairs of views at the encoder's output; all
    other weights stay as they are.

    Args:
        encoder: any module; not changed.
        points: images that UnitMem is taken over, uint8 or float, shape (N, C, H, W), N >= 2.
        inserted: images to insert, one after the other, that the encoder was not trained on, shape (m, C, H, W).
        augment: of the training.
        layers: dotted names behind the ReLU, in order of execution; the last one reads the tuned layer.
        tuned: dotted name of the convolution or linear layer whose filter is trained; what ``layers[-1]`` reads.
        n_views: views per image, even, >= 2; the same for tuning and scoring.
        steps: gradient steps.
        learning_rate: of the gradient steps.
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
    import torch

    if n_views < 2 or n_views % 2 or len(layers) < 2:
        raise ValueError(
            f"insertion needs an even n_views >= 2 and two layers at least, got {n_views} and {len(layers)}"
        )
    pool, extra = as_images(points, "points"), as_images(inserted, "inserted")
    rng = np.random.default_rng(seed)
    scored = _Scorer(augment, layers, n_views, rectify, seed)
    base = scored.responses(encoder, pool)
    rows = []
    for image, pixels in enumerate(extra):
        views = scored.views(pixels, len(pool) + image)
        loss = _alignment_of(views)
        before = scored.appended(base, encoder, pixels[None], len(pool) + image)
        last = before[layers[-1]].max(axis=0)
        if len(last) < 2:
            raise ValueError(f"insertion needs a layer of at least two units, {layers[-1]!r} has {len(last)}")
        top, quiet = int(last.argmax()), int(last.argmin())
        other = int(rng.choice(np.delete(np.arange(len(last)), top)))
        models = {
            arm: tune_unit(encoder, tuned, unit, loss, steps=steps, learning_rate=learning_rate)
            for arm, unit in (("top unit", top), ("quiet unit", quiet), ("other unit", other))
        }
        models["all layers"] = _tuned_whole(encoder, loss, steps=steps, learning_rate=learning_rate)
        watched = {"top unit": top, "quiet unit": quiet, "other unit": top, "all layers": top}
        with torch.no_grad():
            losses = {arm: float(loss(model)) for arm, model in {"before": encoder, **models}.items()}
        for arm, model in models.items():
            after = scored.appended(scored.responses(model, pool), model, pixels[None], len(pool) + image)
            row = _inserted(before, after, layers, watched[arm], len(pool))
            known = {"image": image, "arm": arm, "unit": {"other unit": other}.get(arm, watched[arm])}
            rows.append(known | row | {"loss_before": losses["before"], "loss_after": losses[arm]})
    table = table_of(rows)
    rise = (table["after"] - table["before"]).groupby(table["arm"])
    by_arm = {arm: values.to_numpy() for arm, values in rise}
    earlier = {arm: values.to_numpy() for arm, values in table.groupby("arm")["earlier"]}
    return StudyEvidence(
        table,
        {"tuned_unit": by_arm["top unit"], "earlier_units": earlier["top unit"]},
        {"other_unit": by_arm["other unit"], "whole_encoder": earlier["all layers"]},
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


def _alignment_of(views: Tensor) -> Callable[[nn.Module], Tensor]:
    """mean(1 - cos) between the first and the second half of the views, as a function of the encoder."""

    def loss(model: nn.Module) -> Tensor:
        first, second = model(views).flatten(1).chunk(2)
        return alignment_term(first, second, distance="cosine")

    return loss


def _tuned_whole(
    encoder: nn.Module, loss: Callable[[nn.Module], Tensor], *, steps: int, learning_rate: float
) -> nn.Module:
    """A copy in evaluation mode after gradient steps on all parameters."""
    import torch

    tuned = copy.deepcopy(encoder).eval()
    parameters = [p.requires_grad_(True) for p in tuned.parameters()]
    with torch.enable_grad():
        for _ in range(steps):
            gradients = torch.autograd.grad(loss(tuned), parameters, allow_unused=True)
            with torch.no_grad():
                for parameter, gradient in zip(parameters, gradients, strict=True):
                    if gradient is not None:
                        parameter -= learning_rate * gradient
    return tuned


def _inserted(
    before: dict[str, Floats], after: dict[str, Floats], layers: Sequence[str], unit: int, image: int
) -> dict[str, Any]:
    """UnitMem of one unit of the last layer before and after, and the largest change in earlier layers."""
    scores = [{layer: unitmem_from_activations(rows[layer]) for layer in layers} for rows in (before, after)]
    changes = [np.abs(scores[1][layer].scores - scores[0][layer].scores).max() for layer in layers[:-1]]
    old, new = (found[layers[-1]] for found in scores)
    return {
        "before": float(old.scores[unit]), "after": float(new.scores[unit]), "earlier": float(max(changes)),
        "owns": bool(new.argmax[unit] == image),
    }  # fmt: skip
