"""Optimisers and the learning rate as a function of the step."""

from __future__ import annotations

import math

import torch
from torch import nn

from trustlib.encoders.recipes import Recipe

_MOMENTUM = 0.9


def make_optimizer(recipe: Recipe, module: nn.Module) -> torch.optim.Optimizer:
    """The recipe's optimiser over the trainable parameters; those of one axis are not decayed.

    Args:
        recipe: names the optimiser and its numbers.
        module: whose parameters are trained.

    Returns:
        An optimiser with two groups: decayed and not decayed.

    Raises:
        ValueError: nothing to train.

    Example:
        >>> recipe = Recipe(method="simclr", backbone="small_conv", steps=1, batch_size=2)
        >>> [len(group["params"]) for group in make_optimizer(recipe, nn.Linear(2, 2)).param_groups]
        [1, 1]
    """
    trained = [parameter for parameter in module.parameters() if parameter.requires_grad]
    if not trained:
        raise ValueError("nothing to train: no parameter requires a gradient")
    groups = [
        {"params": [p for p in trained if p.ndim > 1], "weight_decay": recipe.weight_decay},
        {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    rate = recipe.learning_rate
    if recipe.optimizer == "adam":
        return torch.optim.Adam(groups, lr=rate)
    if recipe.optimizer == "adamw":
        return torch.optim.AdamW(groups, lr=rate)
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=rate, momentum=_MOMENTUM)
    from lightly.utils.lars import LARS

    return LARS(groups, lr=rate, momentum=_MOMENTUM)


def learning_rate(recipe: Recipe, step: int) -> float:
    """Linear warm-up, then half a cosine to 0.

    rate = peak * (step + 1) / warm steps, then peak * (1 + cos(pi * (step - warm) / (steps - warm))) / 2.

    Args:
        recipe: peak, steps and warm-up.
        step: from 0.

    Returns:
        The rate of that step.

    Example:
        >>> recipe = Recipe(method="simclr", backbone="small_conv", steps=4, batch_size=2, warmup=0.5, learning_rate=1)
        >>> [round(learning_rate(recipe, step), 3) for step in range(4)]
        [0.5, 1.0, 1.0, 0.5]

    Source: Loshchilov and Hutter, ICLR 2017, eq. 5, without restarts.
    """
    warm = round(recipe.warmup * recipe.steps)
    if step < warm:
        return recipe.learning_rate * (step + 1) / warm
    return recipe.learning_rate * (1 + math.cos(math.pi * (step - warm) / (recipe.steps - warm))) / 2
