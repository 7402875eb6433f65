"""Distances between representations of two views, and their average over pairs of views."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, get_args

if TYPE_CHECKING:
    from torch import Tensor

Distance = Literal["l1", "l2", "cosine", "angular"]
Pairing = Literal["independent", "all", "anchor"]


def pair_distance(a: Tensor, b: Tensor, *, distance: Distance = "l2", normalize: bool = False) -> Tensor:
    """Distance of two representations, row by row.

    l1 = sum |a - b|;  l2 = sqrt(sum (a - b)^2);  cosine = 1 - cos(a, b);  angular = arccos(cos(a, b)) / pi.
    Cosine and angular are computed from the difference and the sum of the unit vectors, which is exact
    where views nearly coincide (1 - cos cancels there) and gives exactly 0 for equal rows.

    Args:
        a: shape (..., s), floating point.
        b: shape (..., s), broadcast against ``a``.
        distance: l1 and l2 in the units of the representation, cosine in [0, 2], angular in [0, 1].
        normalize: divide every row by its l2 norm first (l2 is then in [0, 2]).

    Returns:
        float64, shape (...,).

    Raises:
        ValueError: an unknown distance, or a zero row where a direction is needed.

    Example:
        >>> import torch
        >>> pair_distance(torch.tensor([[3.0, 0.0]]), torch.tensor([[0.0, 4.0]]))
        tensor([5.], dtype=torch.float64)
        >>> pair_distance(torch.tensor([[3.0, 0.0]]), torch.tensor([[0.0, 4.0]]), distance="angular")
        tensor([0.5000], dtype=torch.float64)

    Source: Wang et al., NeurIPS 2024, eq. 1 and table 26 (the four distances).
    """
    check_distance(distance)
    if needs_direction(distance, normalize):
        a, b = unit_rows(a), unit_rows(b)
    return _row_distance(a, b, distance)


def needs_direction(distance: Distance, normalize: bool) -> bool:
    """Whether a zero vector has no value under this distance."""
    return normalize or distance in ("cosine", "angular")


def check_distance(distance: Distance) -> None:
    """Refuse a distance that does not exist."""
    if distance not in get_args(Distance):
        raise ValueError(f"distance must be one of {', '.join(get_args(Distance))}; got {distance!r}")


def unit_rows(rows: Tensor) -> Tensor:
    """Rows divided by their l2 norm; a zero row is refused."""
    import torch

    norm = torch.linalg.vector_norm(rows, dim=-1, keepdim=True)
    zero = int((norm == 0).sum())
    if zero:
        raise ValueError(
            f"{zero} of {norm.numel()} representations are the zero vector, which has no direction; "
            "use distance='l1' or 'l2' with normalize=False, or leave these points out"
        )
    return rows / norm


def _row_distance(a: Tensor, b: Tensor, distance: Distance) -> Tensor:
    """Distances of rows; for cosine and angular the rows are unit vectors."""
    import torch

    if distance == "l1":
        return (a - b).abs().sum(dim=-1, dtype=torch.float64)
    apart = torch.linalg.vector_norm(a - b, dim=-1).double()
    if distance == "l2":
        return apart
    if distance == "cosine":
        return apart.square() / 2
    return 2 / torch.pi * torch.atan2(apart, torch.linalg.vector_norm(a + b, dim=-1).double())


def draw_distances(views: Tensor, *, distance: Distance, normalize: bool, pairing: Pairing) -> Tensor:
    """Alignment components of every draw; their mean over draws is the alignment loss.

    independent: component k = d(view_2k, view_2k+1), views in pairs;
    anchor: component k = d(view_0, view_k+1), view_0 the clean input;
    all: component a = mean over b != a of d(view_a, view_b), whose mean is the average over all pairs.

    Args:
        views: shape (V, B, s).
        distance: see ``pair_distance``.
        normalize: see ``pair_distance``.
        pairing: how the V views form pairs.

    Returns:
        float64, shape (D, B): D = V / 2, V - 1 or V.
    """
    rows = unit_rows(views) if needs_direction(distance, normalize) else views
    if pairing == "independent":
        return _row_distance(rows[0::2], rows[1::2], distance)
    if pairing == "anchor":
        return _row_distance(rows[:1], rows[1:], distance)
    total = rows.new_zeros(rows.shape[:2]).double()
    for first in range(len(rows) - 1):
        apart = _row_distance(rows[first : first + 1], rows[first + 1 :], distance)
        total[first] += apart.sum(dim=0)
        total[first + 1 :] += apart
    return total / (len(rows) - 1)
