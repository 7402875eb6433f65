"""Looking into a model without leaving a trace: evaluation mode, responses of layers by dotted name."""

from __future__ import annotations

import difflib
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

INPUT_OF = "input:"  # in front of a layer's name: what enters it
_FEW_NAMES = 30  # so many layers are listed in a message
_HOOKS = (
    "_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks", "_forward_hooks_with_kwargs",
    "_forward_hooks_always_called", "_forward_pre_hooks_with_kwargs",
)  # fmt: skip


@contextmanager
def evaluating(*models: nn.Module, gradients: bool = False) -> Iterator[None]:
    """Evaluation mode for a while; afterwards everything is as it was, also if an exception passes through.

    Restored are the training flag of every submodule (they may differ), all hooks, whether gradients are recorded,
    and the random states of torch (CPU and, if in use, CUDA), NumPy and Python.

    Args:
        models: put into evaluation mode: BatchNorm uses and keeps its running statistics, Dropout is off.
        gradients: record gradients; False: ``torch.no_grad``.

    Example:
        >>> net = nn.Sequential(nn.Linear(2, 2), nn.Dropout())
        >>> net[1].eval().training, net.training
        (False, True)
        >>> with evaluating(net):
        ...     inside = net.training
        >>> inside, net.training, net[1].training
        (False, True, False)
    """
    with ExitStack() as stack:
        stack.callback(random.setstate, random.getstate())
        stack.callback(np.random.set_state, np.random.get_state())  # noqa: NPY002 (the global state is put back)
        stack.enter_context(torch.random.fork_rng(devices=_cuda_devices()))
        stack.enter_context(torch.set_grad_enabled(gradients))
        for model in models:
            for module in model.modules():
                for flag in ("training", "_is_full_backward_hook"):
                    stack.callback(setattr, module, flag, getattr(module, flag))
                for name in _HOOKS:
                    hooks = getattr(module, name)
                    stack.callback(_restore, hooks, dict(hooks))
            model.eval()
        yield


def _cuda_devices() -> list[int]:
    """CUDA devices whose random states may change: none before CUDA is in use."""
    return list(range(torch.cuda.device_count())) if torch.cuda.is_initialized() else []


def _restore(hooks: dict, before: dict) -> None:
    """Puts a dictionary of hooks back in place, because handles refer to the dictionary itself."""
    hooks.clear()
    hooks.update(before)


class Taps(Mapping[str, Any]):
    """Responses of the last forward pass by layer name; made by `tap_layers`.

    A pass starts when the model itself is called. Call `clear` between calls of its other methods.
    """

    def __init__(self, layers: Sequence[str]) -> None:
        self.layers = tuple(layers)
        self._values: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._values:
            state = "did not run in the last forward pass" if name in self.layers else "is not tapped"
            raise KeyError(f"layer {name!r} {state}. Tapped: {', '.join(self.layers)}.")
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def receive(self, name: str, value: Any) -> None:
        """Keeps one response; a second one in the same pass would be ambiguous."""
        if name in self._values:
            raise ValueError(
                f"layer {name!r} runs more than once per forward pass, so its response is ambiguous. "
                "Tap a layer that runs once."
            )
        self._values[name] = value

    def clear(self) -> None:
        """Forgets the responses; called before every forward pass."""
        self._values.clear()


@contextmanager
def tap_layers(
    model: nn.Module,
    layers: Sequence[str],
    *,
    reduce: Callable[[str, Tensor], Any] | None = None,
    restart: bool = True,
) -> Iterator[Taps]:
    """Responses of layers while the context is open, with gradients where they are recorded.

    Args:
        model: any module.
        layers: dotted names as in ``model.named_modules()``. "input:NAME" taps what enters a layer, for sums that
            have no module of their own: the sum after attention in a transformer is "input:blocks.0.norm2".
        reduce: ``reduce(name, response)`` is kept instead of the response; it is called inside the forward pass, so
            nothing large needs to be kept.
        restart: every call of the model forgets the responses of the one before. False: only `Taps.clear` does, and
            a layer that has run in two calls is refused as ambiguous.

    Returns:
        A mapping from name to response, in the order of execution. Responses are copies, so operations in place
        (such as ReLU) that follow do not change them. Of a tuple the first entry is taken.

    Raises:
        ValueError: no layers, a name twice, or a name that is not there (the message lists similar ones).

    Example:
        >>> net = nn.Sequential(nn.Linear(1, 1, bias=False), nn.ReLU(inplace=True))
        >>> _ = nn.init.constant_(net[0].weight, -1.0)
        >>> with tap_layers(net, ["0", "1"]) as taps, torch.no_grad():
        ...     _ = net(torch.ones(1, 1))
        >>> taps["0"].item(), taps["1"].item()
        (-1.0, 0.0)
    """
    if not len(layers) or len(set(layers)) < len(layers):
        raise ValueError(f"layers must name at least one layer and none twice, got {list(layers)}")
    modules = {name: find_layer(model, name.removeprefix(INPUT_OF)) for name in layers}
    taps = Taps(layers)

    def keep(name: str, response: Any) -> None:
        tensor = _first(response)
        if not isinstance(tensor, Tensor):
            raise ValueError(f"layer {name!r} gives {type(tensor).__name__}, not a tensor")
        taps.receive(name, tensor.clone() if reduce is None else reduce(name, tensor))

    with ExitStack() as stack:
        if restart:
            first = model.register_forward_pre_hook(lambda *_: taps.clear(), prepend=True)
            stack.callback(first.remove)
        for name, module in modules.items():
            stack.callback(_hook(module, name, keep).remove)
        yield taps


def _hook(module: nn.Module, name: str, keep: Callable[[str, Any], None]) -> Any:
    """A hook on the output of a module, or on its input."""
    if name.startswith(INPUT_OF):
        return module.register_forward_pre_hook(lambda _module, inputs: keep(name, inputs))
    return module.register_forward_hook(lambda _module, _inputs, output: keep(name, output))


def find_layer(model: nn.Module, name: str) -> nn.Module:
    """The layer of a dotted name.

    Args:
        model: any module.
        name: as in ``model.named_modules()``, not empty.

    Returns:
        The submodule itself.

    Raises:
        ValueError: no such layer; the message lists similar names, or all of them if they are few.

    Example:
        >>> find_layer(nn.Sequential(nn.Linear(2, 1), nn.ReLU()), "1")
        ReLU()
    """
    try:
        if name:
            return model.get_submodule(name)
    except AttributeError:
        pass
    known = [other for other, _ in model.named_modules() if other]
    if len(known) > _FEW_NAMES:
        close = difflib.get_close_matches(name, known, n=5, cutoff=0.3) or known[:5]
        there = f"Similar: {', '.join(close)}. All names: [name for name, _ in model.named_modules()]."
    else:
        there = f"Layers: {', '.join(known) or 'none'}."
    raise ValueError(f"{type(model).__name__} has no layer {name!r}. {there}")


def layer_names(
    model: nn.Module,
    inputs: Any,
    *,
    rows: int | None = None,
    forward_fn: Callable[[Any, Any], Any] | None = None,
) -> list[str]:
    """Layers with weights, and blocks around them, that run exactly once and give one row per input.

    Args:
        model: any module; run once in evaluation mode, nothing is changed.
        inputs: what the model takes, a few rows.
        rows: how many; None: ``len(inputs)``.
        forward_fn: ``forward_fn(model, inputs)`` runs the model, where ``model(inputs)`` does not.

    Returns:
        Dotted names in the order of execution; a residual block stands for the sum at its end.

    Raises:
        ValueError: no such layer.

    Example:
        >>> net = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1))
        >>> layer_names(net, torch.zeros(4, 2))
        ['0', '2']
    """
    seen: dict[str, list[bool]] = {}
    count = len(inputs) if rows is None else rows

    def note(name: str, output: Any) -> None:
        tensor = _first(output)
        fits = isinstance(tensor, Tensor) and tensor.ndim > 1 and len(tensor) == count
        seen.setdefault(name, []).append(fits)

    with evaluating(model), ExitStack() as stack:
        for name, module in model.named_modules():
            if name and _is_candidate(module):
                stack.callback(_hook(module, name, note).remove)
        model(inputs) if forward_fn is None else forward_fn(model, inputs)
    names = [name for name, fits in seen.items() if fits == [True]]
    if not names:
        raise ValueError(
            f"{type(model).__name__} has no layer that runs once and gives a row per input; name layers by hand"
        )
    return names


def _first(response: Any) -> Any:
    """The first entry of a tuple or list, and everything else itself."""
    return response[0] if isinstance(response, tuple | list) and len(response) else response


def _is_candidate(module: nn.Module) -> bool:
    """A convolution, a linear layer, or a block around some that is more than a list of them."""
    plain = (nn.modules.conv._ConvNd, nn.Linear)
    if isinstance(module, plain):
        return True
    containers = (nn.Sequential, nn.ModuleList, nn.ModuleDict)
    return not isinstance(module, containers) and any(isinstance(inner, plain) for inner in module.modules())
