"""Small networks for images of 16 to 64 pixels: a convolutional net, ResNet-9 and a vision transformer.

Every residual sum is a module of its own, so that layers can be tapped by name.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Norm = Literal["batch", "group"]


def norm_2d(channels: int, norm: Norm) -> nn.Module:
    """Batch normalisation, or group normalisation, which treats every image alone (needed for per-example gradients).

    Example:
        >>> norm_2d(24, "group").num_groups
        8
    """
    if norm == "batch":
        return nn.BatchNorm2d(channels)
    return nn.GroupNorm(math.gcd(8, channels), channels)


def mean_over_positions(x: Tensor) -> Tensor:
    """Mean of every feature map, (B, C, H, W) to (B, C), with a gradient in the memory layout of ``x``.

    Example:
        >>> mean_over_positions(torch.tensor([[[[1.0, 2.0], [3.0, 6.0]]]]))
        tensor([[3.]])
    """
    if x.is_contiguous(memory_format=torch.channels_last):  # else the gradient would be laid out anew, slowly
        return x.permute(0, 2, 3, 1).flatten(1, 2).mean(dim=1)
    return x.mean(dim=(2, 3))


class Sum(nn.Module):
    """The sum of a branch and its shortcut, as a module that can be tapped."""

    def forward(self, branch: Tensor, shortcut: Tensor) -> Tensor:
        """branch + shortcut."""
        return branch + shortcut


class Coordinates(nn.Module):
    """Adds two channels with the height and width of every pixel, from -1 to 1."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, C + 2, H, W)."""
        height, width = x.shape[2:]
        rows = torch.linspace(-1, 1, height, device=x.device, dtype=x.dtype)
        columns = torch.linspace(-1, 1, width, device=x.device, dtype=x.dtype)
        out = F.pad(x, (0, 0, 0, 0, 0, 2))  # keeps the memory layout, which a concatenation would not
        out[:, -2:] = torch.stack(torch.meshgrid(rows, columns, indexing="ij"))
        return out


class ConvBlock(nn.Module):
    """3 x 3 convolution, normalisation, ReLU, and a 2 x 2 maximum where asked for."""

    def __init__(
        self, ins: int, outs: int, *, norm: Norm, stride: int = 1, pool: bool = False, relu: bool = True
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(ins, outs, 3, stride=stride, padding=1, bias=False)
        self.norm = norm_2d(outs, norm)
        self.act = nn.ReLU() if relu else nn.Identity()
        self.pool = nn.MaxPool2d(2) if pool else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """(B, ins, H, W) to (B, outs, H / stride / 2 if pooled, ...)."""
        return self.pool(self.act(self.norm(self.conv(x))))


class SmallConv(nn.Module):
    """Five convolutions, two of stride 2, with the pixels' coordinates as input; the last one without ReLU.

    Args:
        channels: of the images.
        widths: of the five convolutions.
        coordinates: add the coordinates to the input.
        norm: kind of normalisation.

    Example:
        >>> SmallConv(channels=3).dense(torch.zeros(2, 3, 32, 32)).shape
        torch.Size([2, 96, 8, 8])
    """

    def __init__(
        self,
        *,
        channels: int = 3,
        widths: Sequence[int] = (24, 24, 48, 48, 96),
        coordinates: bool = True,
        norm: Norm = "batch",
    ) -> None:
        super().__init__()
        if len(widths) != 5:
            raise ValueError(f"widths must be five numbers, one per convolution, got {tuple(widths)}")
        self.feature_dim = widths[4]
        self.coordinates = Coordinates() if coordinates else nn.Identity()
        ins = channels + 2 * coordinates
        self.conv1 = ConvBlock(ins, widths[0], norm=norm, stride=2)
        self.conv2 = ConvBlock(widths[0], widths[1], norm=norm)
        self.conv3 = ConvBlock(widths[1], widths[2], norm=norm, stride=2)
        self.conv4 = ConvBlock(widths[2], widths[3], norm=norm)
        self.conv5 = ConvBlock(widths[3], widths[4], norm=norm, relu=False)

    def dense(self, x: Tensor) -> Tensor:
        """Feature map (B, D, H / 4, W / 4)."""
        x = self.conv3(self.conv2(self.conv1(self.coordinates(x))))
        return self.conv5(self.conv4(x))

    def forward(self, x: Tensor) -> Tensor:
        """Mean of the feature map, (B, D)."""
        return mean_over_positions(self.dense(x))


class ResNet9(nn.Module):
    """Eight convolutions with two residual sums, after layers 4 and 8, and four maximum pools.

    Widths are w, 2w, 2w, 2w, 4w, 8w, 8w, 8w. Layers are called conv1 to conv8 (the convolution itself is
    ``conv3.conv``), the sums res2 and res6.

    Args:
        channels: of the images.
        width: w; 32 in the paper.
        norm: kind of normalisation.

    Example:
        >>> ResNet9(width=8)(torch.zeros(2, 3, 16, 16)).shape
        torch.Size([2, 64])

    Source: Wang et al., NeurIPS 2024, table 8 and the authors' code (the table lists a pool after every convolution,
    which 32 x 32 images do not allow; the code has four).
    """

    def __init__(self, *, channels: int = 3, width: int = 32, norm: Norm = "batch") -> None:
        super().__init__()
        w = width
        self.feature_dim = 8 * w
        self.conv1 = ConvBlock(channels, w, norm=norm, pool=True)
        self.conv2 = ConvBlock(w, 2 * w, norm=norm, pool=True)
        self.conv3 = ConvBlock(2 * w, 2 * w, norm=norm)
        self.conv4 = ConvBlock(2 * w, 2 * w, norm=norm)
        self.res2 = Sum()
        self.conv5 = ConvBlock(2 * w, 4 * w, norm=norm, pool=True)
        self.conv6 = ConvBlock(4 * w, 8 * w, norm=norm, pool=True)
        self.conv7 = ConvBlock(8 * w, 8 * w, norm=norm)
        self.conv8 = ConvBlock(8 * w, 8 * w, norm=norm)
        self.res6 = Sum()

    def dense(self, x: Tensor) -> Tensor:
        """Feature map (B, 8 w, H / 16, W / 16)."""
        x = self.conv2(self.conv1(x))
        x = self.res2(self.conv4(self.conv3(x)), x)
        x = self.conv6(self.conv5(x))
        return self.res6(self.conv8(self.conv7(x)), x)

    def forward(self, x: Tensor) -> Tensor:
        """Mean of the feature map, (B, 8 w)."""
        return mean_over_positions(self.dense(x))


class Attention(nn.Module):
    """Multi-head self-attention."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        """(B, N, D) to (B, N, D)."""
        batch, tokens, dim = x.shape
        qkv = self.qkv(x).view(batch, tokens, 3, self.heads, dim // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)  # each (B, heads, N, D / heads)
        mixed = F.scaled_dot_product_attention(q, k, v)
        return self.proj(mixed.transpose(1, 2).reshape(batch, tokens, dim))


class Block(nn.Module):
    """Transformer block with normalisation before the branches: x + attn(norm1(x)), then x + mlp(norm2(x))."""

    def __init__(self, dim: int, heads: int, mlp_ratio: float) -> None:
        super().__init__()
        hidden = int(dim * mlp_ratio)
        self.norm1 = nn.LayerNorm(dim)
        self.attn = Attention(dim, heads)
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = nn.Sequential(nn.Linear(dim, hidden), nn.GELU(), nn.Linear(hidden, dim))

    def forward(self, x: Tensor) -> Tensor:
        """(B, N, D) to (B, N, D)."""
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class Positions(nn.Module):
    """Adds a learned vector to every token of a fixed number of them.

    A module of its own, like `ExtraTokens`: per-example gradients are taken module by module.
    """

    def __init__(self, tokens: int, dim: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(tokens, dim) * 0.02)

    def forward(self, x: Tensor) -> Tensor:
        """(B, tokens, D) to the same."""
        return x + self.weight


class ExtraTokens(nn.Module):
    """Puts copies of one learned token before or behind the others."""

    def __init__(self, dim: int, *, count: int = 1, before: bool = True) -> None:
        super().__init__()
        self.count, self.before = count, before
        self.weight = nn.Parameter(torch.randn(dim) * 0.02)

    def forward(self, x: Tensor) -> Tensor:
        """(B, n, D) to (B, n + count, D)."""
        extra = self.weight.to(x.dtype).expand(len(x), self.count, -1)
        return torch.cat([extra, x] if self.before else [x, extra], dim=1)


class SmallViT(nn.Module):
    """A vision transformer for small images, with a class token and learned positions.

    Args:
        size: height and width of the images; other sizes are refused.
        channels: of the images.
        patch: height and width of a patch in pixels.
        dim: of the tokens.
        depth: number of blocks.
        heads: of the attention; divides ``dim``.
        mlp_ratio: hidden size of the fully connected branch over ``dim``.
        stem: "patch": one linear map per patch; "conv": two convolutions of stride 2 (then ``patch`` is 4).
        pool: what represents an image: "cls", the class token, or "mean" of the patch tokens, which suits networks
            whose class token no loss has looked at (mae).
        norm: of the convolutional stem.

    Raises:
        ValueError: sizes that do not divide.

    Example:
        >>> net = SmallViT(size=32, dim=64, depth=2)
        >>> net(torch.zeros(2, 3, 32, 32)).shape, net.dense(torch.zeros(2, 3, 32, 32)).shape
        (torch.Size([2, 64]), torch.Size([2, 64, 8, 8]))
    """

    def __init__(
        self,
        *,
        size: int = 32,
        channels: int = 3,
        patch: int = 4,
        dim: int = 64,
        depth: int = 3,
        heads: int = 4,
        mlp_ratio: float = 3.0,
        stem: Literal["patch", "conv"] = "patch",
        pool: Literal["cls", "mean"] = "cls",
        norm: Norm = "batch",
    ) -> None:
        super().__init__()
        if size % patch or dim % heads or (stem == "conv" and patch != 4):
            raise ValueError(
                f"size must be a multiple of patch and dim of heads, and the conv stem has patch 4; got size={size}, "
                f"patch={patch}, dim={dim}, heads={heads}, stem={stem!r}"
            )
        if pool not in ("cls", "mean"):
            raise ValueError(f"pool must be cls or mean, got {pool!r}")
        self.pool = pool
        self.size, self.patch, self.grid, self.feature_dim = size, patch, size // patch, dim
        self.stem = _stem(channels, dim, patch, stem, norm)
        self.positions = Positions(self.grid**2, dim)
        self.class_token = ExtraTokens(dim)
        self.blocks = nn.Sequential(*(Block(dim, heads, mlp_ratio) for _ in range(depth)))
        self.norm = nn.LayerNorm(dim)

    def embed_patches(self, x: Tensor) -> Tensor:
        """Tokens of the patches with their positions, (B, grid^2, D), row by row."""
        if x.shape[2:] != (self.size, self.size):
            raise ValueError(
                f"this transformer takes {self.size} x {self.size} images, got {tuple(x.shape[2:])}"
            )
        return self.positions(self.stem(x).flatten(2).transpose(1, 2))

    def encode_tokens(self, patches: Tensor) -> Tensor:
        """Class token and given patches through all blocks, (B, 1 + n, D)."""
        return self.norm(self.blocks(self.class_token(patches)))

    def dense(self, x: Tensor) -> Tensor:
        """Patch tokens as a map (B, D, grid, grid)."""
        tokens = self.encode_tokens(self.embed_patches(x))[:, 1:]
        return tokens.transpose(1, 2).reshape(len(x), self.feature_dim, self.grid, self.grid)

    def forward(self, x: Tensor) -> Tensor:
        """Class token, or mean of the patch tokens, after the last normalisation, (B, D)."""
        tokens = self.encode_tokens(self.embed_patches(x))
        return tokens[:, 0] if self.pool == "cls" else tokens[:, 1:].mean(dim=1)


def _stem(channels: int, dim: int, patch: int, stem: str, norm: Norm) -> nn.Module:
    """From pixels to one vector per patch, (B, D, grid, grid)."""
    if stem == "patch":
        return nn.Conv2d(channels, dim, patch, stride=patch)
    half = max(dim * 3 // 8, 8)
    return nn.Sequential(
        ConvBlock(channels, half, norm=norm, stride=2),
        ConvBlock(half, 2 * half, norm=norm, stride=2),
        nn.Conv2d(2 * half, dim, 1),
    )
