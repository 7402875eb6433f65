"""Augmented views of points, each drawn from its own generator, so that batches and shards do not matter."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trustlib.encoders import view_keys

if TYPE_CHECKING:
    import torch

Augment = Callable[..., Any]
CLEAN = -1  # the number of the view that is the point itself


@dataclass(frozen=True)
class ViewBatch:
    """V views of B points as one input of V * B rows: row v * B + i is view v of point ``positions[i]``."""

    positions: NDArray[np.int64]
    inputs: Any
    n_views: int
    differ: bool

    @property
    def rows(self) -> int:
        """Number of rows that the encoder must return."""
        return self.n_views * len(self.positions)


class Views:
    """Views of points, for any number of encoders.

    View v of a point comes from a generator keyed by (seed, index of the point, v): the same for every
    encoder, batch size, order and shard.

    Args:
        data: tensor (n, ...); a sequence or map-style data set of tensors, or of tuples that start with
            one; a list of graphs; or one graph (an object with ``edge_index``) whose nodes are the points.
        augment: ``augment(x, generator)`` of one point (of the whole graph for one graph), or a transform
            that takes x alone and draws from torch's global state, keyed for the call and restored. If it has
            a method ``keyed(points, keys)`` and the data is a tensor, that is called instead with (B, ...)
            points and one generator seed per point, and must give the same views in any batch.
        seed: of all views.
        batch_size: rows per encoder call; one point with all its views is the least.
        index: identity of each point, integer (n,); default 0 to n - 1. Give it where ``data`` is a shard.

    Raises:
        ValueError: no points, an index of another length, or an augmentation that ignores its generator.
        TypeError: data of another kind.
    """

    def __init__(
        self, data: Any, augment: Augment, *, seed: int, batch_size: int, index: ArrayLike | None = None
    ) -> None:
        if batch_size < 1:
            raise ValueError(f"batch_size must be >= 1, got {batch_size}")
        if not callable(augment):
            raise TypeError(
                f"augment must be callable as augment(x, generator), got {type(augment).__name__}"
            )
        self.data, self.seed, self.batch_size = data, seed, batch_size
        self.is_graph = hasattr(data, "edge_index")
        self.n = _count(data, self.is_graph)
        self.index = np.arange(self.n) if index is None else np.asarray(index, dtype=np.int64)
        if self.index.shape != (self.n,):
            raise ValueError(f"index must name each of the {self.n} points, got shape {self.index.shape}")
        self._draw = _keyed(augment)
        self._keyed_batch = getattr(augment, "keyed", None) if hasattr(data, "new_zeros") else None
        self._refuse_unkeyed()

    def _refuse_unkeyed(self) -> None:
        """Two draws under one key must be equal."""
        draw = self._draw_together if self._keyed_batch else self._draw_one_by_one
        first, second = (draw(np.arange(1), [0])[0] for _ in range(2))
        if _differ(first, second):
            raise ValueError(
                "augment gives two different views under one generator state, so it draws from somewhere "
                "else (numpy, random, its own state). Take all randomness from the generator it is given"
            )

    def batches(self, schedule: Sequence[Sequence[int]]) -> Iterator[ViewBatch]:
        """For every chunk of points one batch per entry of the schedule, an entry being view numbers."""
        widest = max(len(numbers) for numbers in schedule)
        size = self.n if self.is_graph else max(1, self.batch_size // widest)
        for start in range(0, self.n, size):
            positions = np.arange(start, min(start + size, self.n))
            draw = self._draw_together if self._keyed_batch else self._draw_one_by_one
            for numbers in schedule:
                inputs, differ = draw(positions, numbers)
                yield ViewBatch(positions, inputs, len(numbers), differ)

    def _draw_one_by_one(self, positions: NDArray[np.int64], numbers: Sequence[int]) -> tuple[Any, bool]:
        """Views of some points, each drawn alone, and whether any differ."""
        points = [self.data] if self.is_graph else [self._point(int(i)) for i in positions]
        index = np.zeros(1, np.int64) if self.is_graph else self.index[positions]
        drawn = []
        for v in numbers:
            keys = view_keys(self.seed, index, v).tolist()
            drawn.append(
                points if v == CLEAN else [self._draw(*pair) for pair in zip(points, keys, strict=True)]
            )
        differ = any(_differ(drawn[0], other) for other in drawn[1:])
        return _collate([x for views in drawn for x in views]), differ

    def _draw_together(self, positions: NDArray[np.int64], numbers: Sequence[int]) -> tuple[Any, bool]:
        """The same with an augmentation that draws for a whole batch at once."""
        import torch

        keyed: Callable[..., torch.Tensor] = self._keyed_batch  # type: ignore[assignment]
        points, drawn = self.data[positions], []
        for v in numbers:
            keys = view_keys(self.seed, self.index[positions], v).tolist()
            drawn.append(points if v == CLEAN else keyed(points, keys))
        return torch.cat(drawn), any(_differ(drawn[0], other) for other in drawn[1:])

    def _point(self, position: int) -> Any:
        """One point; labels that come with it are dropped."""
        item = self.data[position]
        return item[0] if isinstance(item, tuple | list) and not hasattr(self.data, "shape") else item


def _keyed(augment: Augment) -> Callable[[Any, int], Any]:
    """The augmentation as a function of (x, key)."""
    import torch

    generator = torch.Generator()
    how = _generator_argument(augment)

    def draw(x: Any, key: int) -> Any:
        if how == "keyword":
            return augment(x, generator=generator.manual_seed(key))
        if how == "second":
            return augment(x, generator.manual_seed(key))
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(key)  # not torch.manual_seed, which also seeds other devices
            return augment(x)

    return draw


def _generator_argument(augment: Augment) -> str | None:
    """How the augmentation wants its generator: by keyword, as second argument, or not at all."""
    from torch import nn

    try:
        signature = inspect.signature(augment.forward if isinstance(augment, nn.Module) else augment)
    except (TypeError, ValueError):
        return None
    if "generator" in signature.parameters:
        return "keyword"
    plain = [
        p for p in signature.parameters.values()
        if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) and p.default is p.empty
    ]  # fmt: skip
    return "second" if len(plain) > 1 else None


def _count(data: Any, is_graph: bool) -> int:
    """Number of points."""
    if is_graph:
        n = int(data.num_nodes)
    elif hasattr(data, "__len__") and hasattr(data, "__getitem__") and not isinstance(data, dict):
        n = len(data)
    else:
        raise TypeError(
            f"data must be a tensor (n, ...), a sequence of points or one graph, got {type(data).__name__}"
        )
    if n < 1:
        raise ValueError("data holds no points")
    return n


def _leaves(item: Any) -> list[torch.Tensor]:
    """All tensors in a view: in tuples, mappings and graphs."""
    import torch

    if isinstance(item, torch.Tensor):
        return [item]
    if hasattr(item, "edge_index"):
        item = item.to_dict()
    parts = item.values() if isinstance(item, dict) else item if isinstance(item, tuple | list) else []
    return [leaf for part in parts for leaf in _leaves(part)]


def _differ(first: Any, second: Any) -> bool:
    """Whether two views (or lists of views) hold different numbers."""
    import torch

    a, b = _leaves(first), _leaves(second)
    return len(a) != len(b) or not all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


def _collate(views: list[Any]) -> Any:
    """Views stacked to one input: tensors, tuples and mappings of tensors, or one batch of graphs."""
    if hasattr(views[0], "edge_index"):
        from torch_geometric.data import Batch

        return Batch.from_data_list(views)
    from torch.utils.data import default_collate

    if not _leaves(views[0]):
        raise TypeError(
            f"augment returned {type(views[0]).__name__}; return a tensor, or a tuple, dict or graph of them"
        )
    return default_collate(views)


def to_device(item: Any, device: torch.device) -> Any:
    """The input on another device, whatever it is made of."""
    if hasattr(item, "to"):
        return item.to(device)
    if isinstance(item, dict):
        return {key: to_device(value, device) for key, value in item.items()}
    return type(item)(to_device(value, device) for value in item)
