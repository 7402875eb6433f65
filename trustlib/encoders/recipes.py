"""Recipes: everything that decides the weights of an encoder besides the data, as a value that can be hashed."""

from __future__ import annotations

import ast
import dataclasses
import functools
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from trustlib.encoders.architectures import Norm
from trustlib.encoders.methods.registry import METHODS, MethodName
from trustlib.encoders.views import Augmentation, augmentation

Optimizer = Literal["adam", "adamw", "sgd", "lars"]
# what decides weights: a change of its code (not of its comments or texts) makes old artefacts unusable
_CODE = (
    "architectures.py", "backbones.py", "keys.py", "operations.py", "optimization.py", "training.py", "views.py",
    "methods",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How to train an encoder.

    Args:
        method: "simclr", "mocov2", "simsiam", "vicreg", "dino", "mae" or "supervised".
        backbone: name, as for `backbone`.
        steps: optimiser steps. For e epochs of n images: e * (n // (batch_size * accumulate)).
        batch_size: images per pass.
        augment: distribution of the views.
        accumulate: passes per optimiser step; their gradients are averaged. Losses that compare examples compare
            those of one pass.
        optimizer: "adam", "adamw", "sgd" (momentum 0.9) or "lars" (momentum 0.9).
        learning_rate: peak; follows a half cosine to 0 after the warm-up.
        weight_decay: not applied to biases, normalisation and other parameters of one axis.
        warmup: share of the steps over which the learning rate rises linearly, in [0, 1).
        clip_norm: largest norm of the gradient; None: not clipped.
        precision: "float32", or "bfloat16" for mixed precision.
        channels_last: memory layout of images and feature maps; it makes convolutions faster, on CPUs too.
        norm: of small backbones.
        stem: see `backbone`.
        pretrained: start from published weights.
        private: heads without batch normalisation, for DP-SGD.
        backbone_options: see `backbone`.
        method_options: arguments of the method's class.
        seed: of initial weights, order of images, views and masks.

    Raises:
        ValueError: a number or name out of range.
        TypeError: options that cannot be written as JSON.

    Example:
        >>> recipe = Recipe(method="simclr", backbone="small_conv", steps=10, batch_size=8)
        >>> recipe.hash()[:8] == dataclasses.replace(recipe, seed=1).hash()[:8]
        False
    """

    method: MethodName
    backbone: str
    steps: int
    batch_size: int
    augment: Augmentation = field(default_factory=lambda: augmentation("simclr"))
    accumulate: int = 1
    optimizer: Optimizer = "adamw"
    learning_rate: float = 2e-3
    weight_decay: float = 0.05
    warmup: float = 0.05
    clip_norm: float | None = None
    precision: Literal["float32", "bfloat16"] = "float32"
    channels_last: bool = True
    norm: Norm = "batch"
    stem: Literal["standard", "small"] = "standard"
    pretrained: bool = False
    private: bool = False
    backbone_options: Mapping[str, Any] = field(default_factory=dict)
    method_options: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise ValueError(f"method must be one of {', '.join(METHODS)}, got {self.method!r}")
        for name, least in (("steps", 1), ("batch_size", 2), ("accumulate", 1), ("seed", 0)):
            if not isinstance(getattr(self, name), int) or getattr(self, name) < least:
                raise ValueError(f"{name} must be a whole number >= {least}, got {getattr(self, name)!r}")
        if self.optimizer not in ("adam", "adamw", "sgd", "lars"):
            raise ValueError(f"optimizer must be adam, adamw, sgd or lars, got {self.optimizer!r}")
        if self.precision not in ("float32", "bfloat16"):
            raise ValueError(f"precision must be float32 or bfloat16, got {self.precision!r}")
        if not self.learning_rate > 0 or not self.weight_decay >= 0:
            raise ValueError(
                f"learning_rate must be > 0 and weight_decay >= 0, got {self.learning_rate} and {self.weight_decay}"
            )
        if not 0 <= self.warmup < 1:
            raise ValueError(f"warmup is a share of the steps in [0, 1), got {self.warmup}")
        if self.clip_norm is not None and not self.clip_norm > 0:
            raise ValueError(f"clip_norm must be > 0 or None, got {self.clip_norm}")

        for name in ("backbone_options", "method_options"):
            try:
                plain = json.loads(json.dumps(dict(getattr(self, name))))
            except TypeError as error:
                raise TypeError(f"{name} must hold numbers, texts and lists of them: {error}") from error
            object.__setattr__(self, name, plain)  # lists for tuples, so that a stored recipe equals this one

    def to_dict(self) -> dict[str, Any]:
        """All fields as plain values."""
        return json.loads(json.dumps(dataclasses.asdict(self)))

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Recipe:
        """The recipe that `to_dict` came from.

        Example:
            >>> recipe = Recipe(method="mae", backbone="small_vit", steps=5, batch_size=4)
            >>> Recipe.from_dict(recipe.to_dict()) == recipe
            True
        """
        augment: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in values["augment"].items()
        }
        return cls(**{**values, "augment": Augmentation(**augment)})

    def hash(self, *, data: str = "") -> str:
        """SHA-256 of the recipe, the code that carries it out, and the data's own hash."""
        content = {"recipe": self.to_dict(), "code": code_version(), "data": data}
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


@functools.cache
def code_version() -> str:
    """SHA-256 of the code that decides weights, without comments, docstrings and layout.

    Example:
        >>> len(code_version())
        64
    """
    here = Path(__file__).parent
    files = [path for name in _CODE for path in sorted((here / name).rglob("*.py")) or [here / name]]
    digest = hashlib.sha256()
    for path in files:
        digest.update(
            f"{path.relative_to(here).as_posix()}\n{meaning(path.read_text(encoding='utf-8'))}\n".encode()
        )
    return digest.hexdigest()


def meaning(source: str) -> str:
    """The syntax tree of Python source as text, without docstrings.

    Example:
        >>> meaning("x = 1  # one") == meaning("x=1")
        True
    """
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
            and ast.get_docstring(node) is not None
        ):
            node.body[0] = ast.Pass()
    return ast.dump(tree)
