"""What the attacks minimise: the contrastive loss of the paper and the regression loss of the baseline."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from trustlib.gnn_stealing.checks import inside, whole


def info_nce(z1: Tensor, z2: Tensor, *, temperature: float = 1.0, chunk: int | None = None) -> Tensor:
    """Contrast every pair (z1_i, z2_i) with all other rows of both sides.

    With s the cosine: l_i(Z, Z') = -log( e^{s(z_i, z'_i) / temperature} / ( sum_k e^{s(z_i, z'_k) / temperature} +
    sum_{k != i} e^{s(z_i, z_k) / temperature} ) ), loss = mean_i (l_i(Z1, Z2) + l_i(Z2, Z1)) / 2. It is log(2n - 1)
    when all vectors are equal and at least log(1 + (2n - 2) e^{-2 / temperature}): values for different n do not
    compare.

    Args:
        z1: one view, shape (n, p), n >= 2. A row of zeros has cosine 0 with everything.
        z2: the other view, same shape; row i belongs to row i of z1.
        temperature: > 0; the published value is 1.
        chunk: rows whose similarities are held at once, forward and backward, for memory O(n chunk) instead of
            O(n^2) at the price of computing them twice; None for all.

    Returns:
        The loss, a scalar.

    Raises:
        ValueError: shapes that differ or are not (n, p), fewer than 2 rows, temperature not > 0, chunk < 1.

    Example:
        >>> same = torch.ones(3, 2)
        >>> info_nce(same, same).exp()  # 2 n - 1
        tensor(5.)

    Source: Podhajski et al. (ECAI 2024), contrastive loss as in their code; the chunks are ours.
    """
    if z1.dim() != 2 or z1.shape != z2.shape:
        raise ValueError(
            f"info_nce needs two tensors of one shape (n, p), got {tuple(z1.shape)} and {tuple(z2.shape)}."
        )
    if len(z1) < 2:
        raise ValueError(
            f"info_nce needs at least 2 rows, got {len(z1)}: one pair has nothing to be told from."
        )
    inside("temperature", temperature, low=0.0, open_low=True)
    rows = F.normalize(torch.cat([z1, z2]), dim=1)  # (2n, p)
    if chunk is None or chunk >= len(rows):
        other = rows.roll(len(z1), 0)  # row i and row i + n belong together
        logs: Tensor = _LogSums.apply(rows, temperature)
        return (logs - (rows * other).sum(1) / temperature).mean()
    whole("chunk", chunk, least=1)
    parts = []
    for start in range(0, len(rows), chunk):
        part = checkpoint(
            _terms,
            rows[start : start + chunk],
            rows,
            start,
            temperature,
            use_reentrant=False,
            preserve_rng_state=False,
        )
        parts.append(part.sum())
    return torch.stack(parts).sum() / len(rows)


class _LogSums(torch.autograd.Function):
    """log sum_{k != i} e^{r_i r_k / temperature} of every row; one matrix is kept, and its symmetry used.

    Autograd alone would keep four such matrices and multiply three times instead of twice.
    """

    @staticmethod
    def forward(ctx: Any, rows: Tensor, temperature: float) -> Tensor:
        """rows (m, p) of length 1 or 0 to (m,)."""
        kernel = (rows @ rows.T).fill_diagonal_(-torch.inf)
        top = kernel.amax(1)
        kernel.sub_(top[:, None]).div_(temperature).exp_()
        total = kernel.sum(1)
        ctx.save_for_backward(rows, kernel, total)
        ctx.temperature = temperature
        return top / temperature + total.log()

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        """Of a symmetric product: (G + G') R with G the softmax times the incoming gradient."""
        rows, kernel, total = ctx.saved_tensors
        weighted = kernel * (grad / total / ctx.temperature)[:, None]
        return (weighted + weighted.T) @ rows, None


def _terms(some: Tensor, rows: Tensor, start: int, temperature: float) -> Tensor:
    """l of the rows start, start + 1, ... among all 2n rows; row i and row i + n belong together."""
    similarity = some @ rows.T / temperature  # (c, 2n)
    own = torch.arange(start, start + len(some), device=rows.device)
    at = torch.arange(len(some), device=rows.device)
    partner = similarity[at, (own + len(rows) // 2) % len(rows)]
    itself = torch.zeros_like(similarity, dtype=torch.bool)
    itself[at, own] = True
    return similarity.masked_fill(itself, -torch.inf).logsumexp(1) - partner


def rmse_loss(output: Tensor, response: Tensor) -> Tensor:
    """Root of the mean squared difference over all nodes and components.

    sqrt( (1 / (n r)) sum_ik (output_ik - response_ik)^2 ).

    Args:
        output: of the surrogate, shape (n, r).
        response: of the target, same shape.

    Returns:
        The loss, a scalar >= 0, in the unit of the responses. Its gradient at exactly 0 is 0.

    Raises:
        ValueError: shapes that differ, or no rows.

    Example:
        >>> rmse_loss(torch.tensor([[3.0, 4.0]]), torch.zeros(1, 2))  # sqrt((9 + 16) / 2)
        tensor(3.5355)

    Source: Shen et al. (S&P 2022), loss of the attack.
    """
    if output.shape != response.shape or output.numel() == 0:
        raise ValueError(
            f"rmse_loss needs two tensors of one shape with at least one row, got {tuple(output.shape)} and "
            f"{tuple(response.shape)}. The surrogate's outputs must have the width of the responses."
        )
    square = F.mse_loss(output, response)
    return square.clamp(min=torch.finfo(square.dtype).tiny).sqrt()


def soft_cross_entropy(logits: Tensor, posterior: Tensor, *, temperature: float = 1.0) -> Tensor:
    """Cross-entropy of the surrogate's softmax with the target's.

    -(1 / n) sum_ic p_ic log softmax(logits_i / temperature)_c.

    Args:
        logits: of the surrogate, shape (n, C).
        posterior: of the target, same shape, rows sum to 1.
        temperature: > 0, of the surrogate's softmax.

    Returns:
        The loss, a scalar; at least the mean entropy of the posteriors.

    Raises:
        ValueError: shapes that differ, temperature not > 0.

    Example:
        >>> soft_cross_entropy(torch.zeros(1, 4), torch.tensor([[1.0, 0.0, 0.0, 0.0]])).exp()
        tensor(4.)

    Source: Hinton et al. (2015), distillation.
    """
    if logits.shape != posterior.shape:
        raise ValueError(
            f"logits and posterior must have one shape, got {tuple(logits.shape)} and {tuple(posterior.shape)}. The "
            "surrogate needs one output per class of the target."
        )
    inside("temperature", temperature, low=0.0, open_low=True)
    return -(posterior * F.log_softmax(logits / temperature, dim=1)).sum(1).mean()
