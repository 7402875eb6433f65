"""What a service can do to its answers before it gives them away: noise, few classes, few digits, labels only."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from trustlib.gnn_stealing.checks import inside, whole


@dataclass(frozen=True)
class Defence:
    """Changes to answers, applied in the order noise, top-k, rounding.

    Args:
        noise_std: standard deviation of Gaussian noise added to every number, in the unit of the answer; fresh in every
            query, so averaging repeated queries takes it off again (the budget limits that).
        decimals: digits after the decimal point; None: all.
        top_k: keep the k largest entries of a posterior and set the others to 0; None: all.

    Raises:
        TypeError, ValueError: a negative or infinite noise, decimals < 0, or top_k < 1.

    Example:
        >>> Defence(decimals=1, top_k=1)(torch.tensor([[0.26, 0.74]]), generator=torch.Generator())
        tensor([[0.0000, 0.7000]])
    """

    noise_std: float = 0.0
    decimals: int | None = None
    top_k: int | None = None

    def __post_init__(self) -> None:
        inside("noise_std", self.noise_std, low=0.0)
        if self.decimals is not None:
            whole("decimals", self.decimals, least=0)
        if self.top_k is not None:
            whole("top_k", self.top_k, least=1)

    def __call__(self, answers: Tensor, *, generator: torch.Generator) -> Tensor:
        """Answers (n, r) as they leave the service; a new tensor.

        Raises:
            ValueError: top_k larger than r.
        """
        out = answers.clone()
        if self.noise_std > 0:
            noise = torch.randn(out.shape, generator=generator, dtype=torch.float32, device=generator.device)
            out += self.noise_std * noise.to(out)
        if self.top_k is not None:
            if self.top_k > out.shape[1]:
                raise ValueError(
                    f"top_k must be at most {out.shape[1]}, the number of classes, got {self.top_k}."
                )
            kept = out.topk(self.top_k, dim=1)
            out = torch.zeros_like(out).scatter(1, kept.indices, kept.values)
        return out if self.decimals is None else out.round(decimals=self.decimals)
