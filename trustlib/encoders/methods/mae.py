"""MAE: most patches are hidden, and a small decoder paints them from the encoded rest."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from trustlib.encoders.architectures import Block, ExtraTokens, Positions, SmallViT
from trustlib.encoders.backbones import Encoder
from trustlib.encoders.keys import key_uniforms
from trustlib.encoders.methods.base import Batch, Method


class MAE(Method):
    """Mean squared error of hidden patches, whose pixels are normalised per patch.

    The order of tokens is random only while some are hidden: the decoder puts them back into their places, and the
    encoder outside of training sees all patches row by row, so that features can be compared between calls.

    Args:
        encoder: a "small_vit" with a patch stem.
        mask_ratio: share of hidden patches, in (0, 1).
        decoder_dim: of the decoder's tokens; None: half of the encoder's, as for the paper's largest model.
        decoder_depth: number of its blocks.
        decoder_heads: of its attention; divides ``decoder_dim``.
        normalize_target: normalise the pixels of every patch, as the paper found best.

    Raises:
        ValueError: an encoder of another kind, or a ratio that hides all or nothing.

    Source: He et al., CVPR 2022, section 3.
    """

    n_views = 1
    per_example = True

    def __init__(
        self,
        encoder: Encoder,
        *,
        mask_ratio: float = 0.75,
        decoder_dim: int | None = None,
        decoder_depth: int = 8,
        decoder_heads: int = 4,
        normalize_target: bool = True,
    ) -> None:
        super().__init__(encoder)
        vit = encoder.body
        if not isinstance(vit, SmallViT) or not isinstance(vit.stem, nn.Conv2d):
            raise ValueError(f"mae needs the backbone small_vit with stem='patch', got {encoder.name}")
        self.tokens = vit.grid**2
        self.kept = round(self.tokens * (1 - mask_ratio))
        if not 0 < self.kept < self.tokens:
            raise ValueError(
                f"mask_ratio={mask_ratio} hides {self.tokens - self.kept} of {self.tokens} patches"
            )
        dim = decoder_dim or vit.feature_dim // 2
        self.normalize_target = normalize_target
        self.embed = nn.Linear(vit.feature_dim, dim)
        self.blank = ExtraTokens(dim, count=self.tokens - self.kept, before=False)
        self.positions = Positions(1 + self.tokens, dim)
        self.decoder = nn.Sequential(
            *(Block(dim, decoder_heads, 4.0) for _ in range(decoder_depth)), nn.LayerNorm(dim)
        )
        self.paint = nn.Linear(dim, vit.patch**2 * vit.stem.in_channels)

    def forward(self, batch: Batch) -> Tensor:
        """Loss of a batch."""
        return self.losses(batch).mean()

    def losses(self, batch: Batch) -> Tensor:
        """Loss of every example, (B,)."""
        (images,) = batch.views
        order, hidden = self.masks(batch.keys)
        order, hidden = order.to(images.device), hidden.to(images.device)
        painted = self.reconstruct(images, order)
        target = self.patches(self.encoder.normalize(images))
        if self.normalize_target:
            mean, var = target.mean(dim=2, keepdim=True), target.var(dim=2, keepdim=True)
            target = (target - mean) / (var + 1e-6).sqrt()
        error = (painted.float() - target).square().mean(dim=2)
        return (error * hidden).sum(dim=1) / hidden.sum(dim=1)

    def masks(self, keys: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        """Random order of the patches (B, N), the first of which are kept, and which are hidden (B, N), as 0 and 1."""
        order = torch.from_numpy(np.argsort(key_uniforms(keys, self.tokens), axis=1))
        hidden = torch.ones(len(keys), self.tokens)
        hidden.scatter_(1, order[:, : self.kept], 0.0)
        return order, hidden

    def reconstruct(self, images: Tensor, order: Tensor) -> Tensor:
        """All patches (B, N, pixels) in their places, from the first ones of a random order."""
        vit = self._vit
        patches = vit.embed_patches(self.encoder.normalize(images))
        kept = order[:, : self.kept, None].expand(-1, -1, patches.shape[2])
        latent = self.embed(vit.encode_tokens(patches.gather(1, kept)))
        shuffled = self.blank(latent[:, 1:])
        places = order.argsort(dim=1)[:, :, None].expand(-1, -1, shuffled.shape[2])
        tokens = self.positions(torch.cat([latent[:, :1], shuffled.gather(1, places)], dim=1))
        return self.paint(self.decoder(tokens)[:, 1:])

    def patches(self, images: Tensor) -> Tensor:
        """Pixels of the patches, row by row, (B, N, C * patch^2)."""
        return nn.functional.unfold(images, self._vit.patch, stride=self._vit.patch).transpose(1, 2)

    @property
    def _vit(self) -> SmallViT:
        """The transformer."""
        body = self.encoder.body
        if not isinstance(body, SmallViT):
            raise TypeError(f"the encoder's body became a {type(body).__name__}")
        return body
