"""Responses of encoders at named layers: one forward pass, every layer reduced as soon as it is computed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from trustlib.encoders import evaluating, find_layer, tap_layers
from trustlib.encoders.tapping import INPUT_OF
from trustlib.memorization.views import ViewBatch, to_device

Encoder = nn.Module | Callable[..., Any]
Forward = Callable[[Any, Any], Any]
OUTPUT = "output"
T = TypeVar("T")


class Reader:
    """One encoder and the layers to read; made by ``reading``."""

    def __init__(self, encoder: Encoder, layers: Sequence[str] | None, forward_fn: Forward | None) -> None:
        self.encoder, self.layers = encoder, layers
        self._forward = forward_fn or (lambda model, inputs: model(inputs))
        first = next(encoder.parameters(), None) if isinstance(encoder, nn.Module) else None
        self._device = None if first is None else first.device
        for name in layers or ():
            if not isinstance(encoder, nn.Module):
                raise TypeError(f"layers= needs a torch module, got {type(encoder).__name__}")
            find_layer(encoder, name.removeprefix(INPUT_OF))

    def read(self, batch: ViewBatch, reduce: Callable[[str, Tensor], T]) -> dict[str, T]:
        """Runs the encoder once; what ``reduce(name, rows)`` makes of every layer, in order of execution."""

        def rows_of(name: str, output: Any) -> T:
            return reduce(name, _rows(name, output, batch.rows))

        if self.layers is None:
            return {OUTPUT: rows_of(OUTPUT, self.run(batch))}
        with tap_layers(self.encoder, self.layers, reduce=rows_of, restart=False) as taps:  # type: ignore[arg-type]
            self.run(batch)
        silent = [name for name in self.layers if name not in taps]
        if silent:
            raise ValueError(f"layers {silent} did not run in the forward pass; name layers that do")
        return dict(taps)

    def run(self, batch: ViewBatch) -> Any:
        """The encoder's output, views moved to where the encoder is."""
        inputs = batch.inputs if self._device is None else to_device(batch.inputs, self._device)
        return self._forward(self.encoder, inputs)


def _rows(name: str, output: Any, rows: int) -> Tensor:
    """The response as a floating-point tensor with one row per view; of a tuple the first entry."""
    tensor = output[0] if isinstance(output, tuple) and len(output) else output
    if not isinstance(tensor, Tensor):
        raise ValueError(
            f"{name!r} gives {type(output).__name__}, not a tensor; pass forward_fn=lambda model, batch: ... "
            "that returns one tensor with a row per point"
        )
    if tensor.ndim < 2 or len(tensor) != rows:
        raise ValueError(
            f"{name!r} gives shape {tuple(tensor.shape)} for {rows} views; the first axis must be the views "
            "and another one the representation"
        )
    return tensor if tensor.dtype in (torch.float32, torch.float64) else tensor.float()


@contextmanager
def reading(
    encoders: Sequence[Encoder], layers: Sequence[str] | None, forward_fn: Forward | None
) -> Iterator[list[Reader]]:
    """Encoders in evaluation mode without gradients, ready to be read; everything is restored on exit."""
    if layers is not None and (not len(layers) or len(set(layers)) < len(layers)):
        raise ValueError(f"layers must name at least one layer and none twice, got {list(layers)}")
    # an encoder that stands twice in the list is run once
    readers = {id(encoder): Reader(encoder, layers, forward_fn) for encoder in encoders}
    with evaluating(*(encoder for encoder in encoders if isinstance(encoder, nn.Module))):
        yield [readers[id(encoder)] for encoder in encoders]


def refuse_stochastic(readers: Sequence[Reader], batch: ViewBatch) -> None:
    """Runs every encoder twice on one batch and refuses different responses."""
    for number, reader in enumerate(dict.fromkeys(readers)):
        first, second = (reader.read(batch, _fingerprint) for _ in range(2))
        for name, (mark, size) in first.items():
            gap = (mark - second[name][0]).abs()
            if bool((gap > 1e-4 * size + 1e-12).any()):
                raise ValueError(
                    f"encoder {number} is random in evaluation mode: the same views give another response at "
                    f"{name!r} when run again. Random masking, shuffled tokens, dropout called as a function "
                    "or stochastic depth would all enter the distance; switch them off, and put shuffled "
                    "tokens back into their order"
                )


def _fingerprint(_name: str, rows: Tensor) -> tuple[Tensor, Tensor]:
    """A projection of every row that notices permuted entries, and the norm of the row; float64 (B,)."""
    flat = rows.flatten(1).double()
    weights = torch.cos(torch.arange(flat.shape[1], dtype=torch.float64, device=flat.device) * 2.399963)
    return flat @ weights, torch.linalg.vector_norm(flat, dim=1)
