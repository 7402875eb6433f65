"""Features of many images, into memory or into a memory-mapped file."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, overload

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from trustlib.encoders.tapping import evaluating, tap_layers

Reduce = Callable[[str, Tensor], Tensor]


@overload
def embed(
    encoder: nn.Module,
    pixels: Any,
    *,
    layers: None = None,
    reduce: None = None,
    out: Path | None = None,
    batch_size: int = 256,
) -> NDArray[np.float32]: ...


@overload
def embed(
    encoder: nn.Module,
    pixels: Any,
    *,
    layers: Sequence[str],
    reduce: Reduce | None = None,
    out: Path | None = None,
    batch_size: int = 256,
) -> dict[str, NDArray[np.float32]]: ...


def embed(
    encoder: nn.Module,
    pixels: Any,
    *,
    layers: Sequence[str] | None = None,
    reduce: Reduce | None = None,
    out: Path | None = None,
    batch_size: int = 256,
) -> NDArray[np.float32] | dict[str, NDArray[np.float32]]:
    """Features of images in evaluation mode; the encoder is left as it was.

    Args:
        encoder: module; images go to its device, one batch at a time.
        pixels: (n, C, H, W) uint8 or float in [0, 1]: array (also memory-mapped) or tensor.
        layers: dotted names of layers to read instead of the output; see `tap_layers`.
        reduce: with ``layers``: ``reduce(name, response)`` gives what is stored, one row per image, such as a mean
            over positions. None: the response itself.
        out: stream into this file (``.npy``) instead of memory; with ``layers``, into one file per layer in this
            folder. The file appears when it is complete.
        batch_size: images per pass.

    Returns:
        float32 (n, ...), or one such array per layer in order of execution; memory-mapped read-only with ``out``.

    Raises:
        ValueError: no images, or an output without one row per image.

    Example:
        >>> from trustlib.encoders import backbone
        >>> embed(backbone("small_conv"), torch.zeros(5, 3, 32, 32), batch_size=2).shape
        (5, 96)
    """
    if not len(pixels):
        raise ValueError("embed needs at least one image, got none")
    if batch_size < 1:
        raise ValueError(f"batch_size must be >= 1, got {batch_size}")
    if reduce is not None and layers is None:
        raise ValueError("reduce is applied to layers; pass layers, or reduce the output yourself")
    keep = reduce or (lambda _name, response: response)
    stores: dict[str, _Store] = {}
    try:
        with evaluating(encoder):
            if layers is None:
                _stream(encoder, pixels, batch_size, lambda output: {"output": output}, stores, out)
            else:
                with tap_layers(encoder, layers, reduce=lambda name, r: keep(name, r).clone()) as taps:
                    _stream(encoder, pixels, batch_size, lambda _output: dict(taps), stores, out)
        arrays = {name: store.finish() for name, store in stores.items()}
    finally:
        for store in stores.values():
            store.discard()
    return arrays["output"] if layers is None else arrays


def _stream(
    encoder: nn.Module,
    pixels: Any,
    batch_size: int,
    responses: Callable[[Any], dict[str, Tensor]],
    stores: dict[str, _Store],
    out: Path | None,
) -> None:
    """Runs all batches and writes what they give."""
    device = next((p.device for p in encoder.parameters()), torch.device("cpu"))
    for start in range(0, len(pixels), batch_size):
        batch = as_images(pixels[start : start + batch_size]).to(device)
        for name, value in responses(encoder(batch)).items():
            if not isinstance(value, Tensor) or value.ndim < 1 or len(value) != len(batch):
                raise ValueError(
                    f"{name} gives {tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__} for "
                    f"{len(batch)} images; there must be one row per image"
                )
            if name not in stores:
                path = None if out is None else out if name == "output" else out / f"{name}.npy"
                stores[name] = _Store((len(pixels), *value.shape[1:]), path)
            stores[name].array[start : start + len(batch)] = value.float().cpu().numpy()


def as_images(pixels: Any) -> Tensor:
    """Images as float32 in [0, 1]."""
    images = pixels if isinstance(pixels, Tensor) else torch.from_numpy(np.array(pixels))
    return images.float().div(255) if images.dtype == torch.uint8 else images.float()


class _Store:
    """An array in memory, or a file that gets its name when it is complete."""

    def __init__(self, shape: tuple[int, ...], path: Path | None) -> None:
        self.path = path
        self.aside: Path | None = None
        if path is None:
            self.array: NDArray[np.float32] = np.empty(shape, dtype=np.float32)
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        self.aside = path.with_name(f".{path.name}.{uuid.uuid4().hex}.part")
        self.array = np.lib.format.open_memmap(self.aside, mode="w+", dtype=np.float32, shape=shape)

    def finish(self) -> NDArray[np.float32]:
        """The complete array."""
        if self.path is None or self.aside is None:
            return self.array
        if isinstance(self.array, np.memmap):
            self.array.flush()
        os.replace(self.aside, self.path)
        return np.load(self.path, mmap_mode="r")

    def discard(self) -> None:
        """Takes away what was not finished."""
        if self.aside is not None:
            self.aside.unlink(missing_ok=True)
