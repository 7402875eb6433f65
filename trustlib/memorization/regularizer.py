"""The alignment term: keeps an encoder from aligning the views of a training point too well."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, get_args

if TYPE_CHECKING:
    from torch import Tensor

PenaltyDistance = Literal["angular", "cosine"]


def alignment_term(first: Tensor, second: Tensor, *, distance: PenaltyDistance = "angular") -> Tensor:
    """Mean distance between the representations of two views of the same points; differentiable.

    angular: mean of arccos(cos(z', z'')) / pi; cosine: mean of 1 - cos(z', z'').

    Args:
        first: shape (B, ...), flattened per point.
        second: representations of other views of the same points, same shape.
        distance: which of the two.

    Returns:
        Scalar tensor in [0, 1] (angular) or [0, 2] (cosine).

    Raises:
        ValueError: shapes differ, or an unknown distance.

    Example:
        >>> import torch
        >>> alignment_term(torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 2.0]]))
        tensor(0.5000)

    Source: Wang et al., ICLR 2024, eq. 3, as its published code spells it (there with arcsine, and along the
    batch axis, which compares different images).
    """
    import torch

    if distance not in get_args(PenaltyDistance):
        raise ValueError(f"distance must be one of {get_args(PenaltyDistance)}, got {distance!r}")
    if first.shape != second.shape or first.ndim < 2:
        raise ValueError(
            f"both views need one shape (B, ...), got {tuple(first.shape)}, {tuple(second.shape)}"
        )
    a = torch.nn.functional.normalize(first.flatten(1), dim=1)
    b = torch.nn.functional.normalize(second.flatten(1), dim=1)
    if distance == "cosine":
        return (1 - (a * b).sum(dim=1)).mean()
    apart, together = torch.linalg.vector_norm(a - b, dim=1), torch.linalg.vector_norm(a + b, dim=1)
    return (2 / torch.pi * torch.atan2(apart, together)).mean()  # arccos has an infinite slope at 1


def regularized_loss(
    loss: Tensor, first: Tensor, second: Tensor, *, weight: float, distance: PenaltyDistance = "angular"
) -> Tensor:
    """(1 - weight) * loss - weight * alignment_term: training that is paid for keeping views apart.

    Args:
        loss: the method's own loss, scalar.
        first: representations of one view per point, shape (B, ...).
        second: representations of another view, same shape.
        weight: in [0, 1); 0 gives the loss unchanged. The published code uses 0.1, late in training.
        distance: see ``alignment_term``.

    Returns:
        Scalar tensor.

    Raises:
        ValueError: weight outside [0, 1).

    Example:
        >>> import torch
        >>> z = torch.tensor([[1.0, 0.0]])
        >>> regularized_loss(torch.tensor(1.0), z, z.flip(1), weight=0.1)  # 0.9 * 1 - 0.1 * 0.5
        tensor(0.8500)

    Source: Wang et al., ICLR 2024, eq. 3, in the form of its published code.
    """
    if not 0 <= weight < 1:
        raise ValueError(f"weight must be in [0, 1), got {weight}")
    return (1 - weight) * loss - weight * alignment_term(first, second, distance=distance)
