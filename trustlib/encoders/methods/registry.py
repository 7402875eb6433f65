"""Methods by name."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any, Literal

from trustlib.encoders.backbones import Encoder, drawing_from
from trustlib.encoders.keys import view_keys
from trustlib.encoders.methods.base import BatchLossError, Method
from trustlib.encoders.methods.dino import DINO
from trustlib.encoders.methods.mae import MAE
from trustlib.encoders.methods.moco import MoCoV2
from trustlib.encoders.methods.simclr import SimCLR
from trustlib.encoders.methods.simsiam import SimSiam
from trustlib.encoders.methods.supervised import Supervised
from trustlib.encoders.methods.vicreg import VICReg

MethodName = Literal["simclr", "mocov2", "simsiam", "vicreg", "dino", "mae", "supervised"]
METHODS: dict[str, type[Method]] = {
    "simclr": SimCLR, "mocov2": MoCoV2, "simsiam": SimSiam, "vicreg": VICReg, "dino": DINO, "mae": MAE,
    "supervised": Supervised,
}  # fmt: skip
_HEAD_STREAM = 1  # the encoder's weights come from the seed itself, those of heads from another stream


def build_method(
    name: MethodName,
    encoder: Encoder,
    *,
    seed: int,
    n_classes: int | None = None,
    private: bool = False,
    options: Mapping[str, Any] | None = None,
) -> Method:
    """A method around an encoder, with heads drawn from a seed.

    Args:
        name: which.
        encoder: to train.
        seed: of the heads' initial weights.
        n_classes: for "supervised".
        private: heads without batch normalisation, for DP-SGD; refused where the loss compares examples.
        options: further arguments of the class, such as ``{"temperature": 0.2}``.

    Returns:
        The method, in training mode.

    Raises:
        ValueError: an unknown name or option, or classes missing.
        BatchLossError: ``private`` for a method whose loss compares examples.

    Example:
        >>> from trustlib.encoders import backbone
        >>> type(build_method("vicreg", backbone("small_conv"), seed=0)).__name__
        'VICReg'
    """
    options = dict(options or {})
    if name not in METHODS:
        raise ValueError(f"method must be one of {', '.join(METHODS)}, got {name!r}")
    kind = METHODS[name]
    known = [p for p in inspect.signature(kind).parameters if p not in ("encoder", "n_classes", "private")]
    unknown = sorted(set(options) - set(known))
    if unknown:
        raise ValueError(f"{name} has no options {unknown}. Options: {', '.join(known) or 'none'}.")
    if kind.needs_labels:
        if n_classes is None:
            raise ValueError(f"{name} needs labels: pass n_classes")
        options["n_classes"] = n_classes
    if private:
        if not kind.per_example:
            raise BatchLossError(
                f"{name} compares examples of a batch, so private=True is impossible. Per-example losses have: "
                f"{', '.join(key for key, value in METHODS.items() if value.per_example)}."
            )
        if "private" in inspect.signature(kind).parameters:
            options["private"] = True
    with drawing_from(int(view_keys(seed, 0, _HEAD_STREAM))):
        return kind(encoder, **options)
