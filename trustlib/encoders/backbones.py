"""Backbones by name: small networks of this library, and everything in timm and torchvision."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Literal

import torch
from torch import Tensor, nn

from trustlib.encoders.architectures import Norm, ResNet9, SmallConv, SmallViT
from trustlib.encoders.tapping import tap_layers

SMALL: dict[str, type[nn.Module]] = {"small_conv": SmallConv, "resnet9": ResNet9, "small_vit": SmallViT}
_HALF = (0.5, 0.5, 0.5)


class Normalize(nn.Module):
    """(x - mean) / std per channel. It lives inside the encoder, so that images are in [0, 1] everywhere else."""

    mean: Tensor
    std: Tensor

    def __init__(self, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean).view(1, -1, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(1, -1, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Shape of ``x``."""
        return (x - self.mean) / self.std


class Encoder(nn.Module):
    """A network from images in [0, 1] to features.

    ``encoder(x)`` maps (B, C, H, W) to (B, D), with ``feature_dim`` for D; ``encoder.dense(x)`` gives a map
    (B, D', h, w).

    Args:
        name: of the backbone.
        body: the network.
        feature_dim: number of features.
        normalize: what happens to pixels first.
    """

    def __init__(self, name: str, body: nn.Module, *, feature_dim: int, normalize: nn.Module) -> None:
        super().__init__()
        self.name, self.feature_dim = name, feature_dim
        self.normalize, self.body = normalize, body

    def forward(self, x: Tensor) -> Tensor:
        """Features (B, D)."""
        return self.body(self.normalize(x))

    def dense(self, x: Tensor) -> Tensor:
        """Feature map (B, D', h, w)."""
        dense: Any = self.body.dense
        return dense(self.normalize(x))


class TimmEncoder(Encoder):
    """An encoder around a timm model without its classifier."""

    def forward(self, x: Tensor) -> Tensor:
        """Features (B, D) as the model pools them."""
        body: Any = self.body
        return body.forward_head(body.forward_features(self.normalize(x)), pre_logits=True)

    def dense(self, x: Tensor) -> Tensor:
        """Last feature map (B, D, h, w); tokens of a transformer are laid out on their grid."""
        body: Any = self.body
        features = body.forward_features(self.normalize(x))
        if features.ndim == 4:
            channels_last = features.shape[-1] == body.num_features != features.shape[1]
            return features.permute(0, 3, 1, 2) if channels_last else features
        tokens = features[:, getattr(body, "num_prefix_tokens", 0) :]
        height, width = body.patch_embed.dynamic_feat_size(x.shape[2:])
        return tokens.transpose(1, 2).reshape(len(x), -1, height, width)


class TorchvisionEncoder(Encoder):
    """An encoder around a torchvision classifier whose last layer was taken off."""

    def dense(self, x: Tensor) -> Tensor:
        """Last feature map (B, D, h, w)."""
        names = dict(self.body.named_children())
        layer = next((name for name in ("layer4", "features", "encoder") if name in names), None)
        if layer is None:
            raise ValueError(
                f"{self.name} has no layer called layer4, features or encoder to take a map from"
            )
        with tap_layers(self.body, [layer]) as taps:
            self.body(self.normalize(x))
        features = taps[layer]
        if features.ndim == 3:  # tokens with a class token in front
            side = round((features.shape[1] - 1) ** 0.5)
            return features[:, 1:].transpose(1, 2).reshape(len(x), -1, side, side)
        return features.permute(0, 3, 1, 2) if features.shape[-1] == self.feature_dim else features


def backbone(
    name: str,
    *,
    size: int = 32,
    channels: int = 3,
    seed: int = 0,
    pretrained: bool = False,
    norm: Norm = "batch",
    stem: Literal["standard", "small"] = "standard",
    options: Mapping[str, Any] | None = None,
) -> Encoder:
    """An encoder by name, with weights drawn from a seed or the published ones.

    Args:
        name: "small_conv", "resnet9", "small_vit", "timm:MODEL" or "torchvision:MODEL".
        size: height and width of the images; needed by transformers.
        channels: of the images.
        seed: of the initial weights. The global random state is not touched.
        pretrained: load published weights (timm and torchvision; downloaded by those libraries).
        norm: "batch", or "group" for per-example gradients (small networks; others: change the model yourself).
        stem: "small" replaces the first layers of a ResNet by a 3 x 3 convolution without stride or pooling, as is
            usual for 32 x 32 images.
        options: further arguments of the network, such as ``{"width": 8}`` for "resnet9".

    Returns:
        The encoder, in training mode.

    Raises:
        ValueError: an unknown name, option, or combination.

    Example:
        >>> encoder = backbone("resnet9", size=16, options={"width": 8})
        >>> encoder(torch.zeros(2, 3, 16, 16)).shape, encoder.feature_dim
        (torch.Size([2, 64]), 64)
    """
    options = dict(options or {})
    family, _, model = name.partition(":")
    if family not in (*SMALL, "timm", "torchvision") or bool(model) != (family in ("timm", "torchvision")):
        raise ValueError(f"name must be {', '.join(SMALL)}, timm:MODEL or torchvision:MODEL, got {name!r}")
    if family in SMALL and (pretrained or stem != "standard"):
        raise ValueError(
            f"{name} has neither published weights nor another stem; they are for timm and torchvision"
        )
    if family not in SMALL and norm != "batch":
        raise ValueError(f"norm={norm!r} is for {', '.join(SMALL)}; replace the layers of {name} yourself")
    with drawing_from(seed):
        if family in SMALL:
            return _small(family, size, channels, norm, options)
        if family == "timm":
            return _timm(name, size, channels, pretrained=pretrained, stem=stem, options=options)
        return _torchvision(name, channels, pretrained=pretrained, stem=stem, options=options)


@contextmanager
def drawing_from(seed: int) -> Iterator[None]:
    """Torch's global generator on the CPU starts from a seed inside, and is put back afterwards."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # torch.manual_seed would also seed other devices
        yield


def _small(name: str, size: int, channels: int, norm: Norm, options: dict[str, Any]) -> Encoder:
    """One of this library's networks."""
    known = set(inspect.signature(SMALL[name]).parameters)
    unknown = sorted(set(options) - known)
    if unknown:
        raise ValueError(f"{name} has no options {unknown}. Options: {', '.join(sorted(known))}.")
    given = {"size": size, "channels": channels, "norm": norm}
    body: Any = SMALL[name](**{k: v for k, v in given.items() if k in known} | options)
    normalize = Normalize(_HALF[:1] * channels, _HALF[:1] * channels)
    return Encoder(name, body, feature_dim=body.feature_dim, normalize=normalize)


def _timm(
    name: str, size: int, channels: int, *, pretrained: bool, stem: str, options: dict[str, Any]
) -> Encoder:
    """A timm model without classifier; transformers are told the size of the images."""
    import timm

    model = name.partition(":")[2]
    if model not in timm.list_models() and not timm.is_model(model.split(".")[0]):
        raise ValueError(
            f"timm has no model {model!r}. Similar: {', '.join(timm.list_models(f'*{model[:4]}*')[:5])}."
        )
    arguments: dict[str, Any] = {"num_classes": 0, "in_chans": channels} | options
    try:
        body: Any = timm.create_model(model, pretrained=pretrained, img_size=size, **arguments)
    except TypeError:  # convolutional networks take any size and no such argument
        body = timm.create_model(model, pretrained=pretrained, **arguments)
    _replace_stem(name, body, channels, stem)
    mean, std = body.pretrained_cfg.get("mean", _HALF), body.pretrained_cfg.get("std", _HALF)
    if not pretrained or len(mean) != channels:
        mean, std = _HALF[:1] * channels, _HALF[:1] * channels
    return TimmEncoder(
        name, body, feature_dim=body.num_features, normalize=Normalize(tuple(mean), tuple(std))
    )


def _torchvision(
    name: str, channels: int, *, pretrained: bool, stem: str, options: dict[str, Any]
) -> Encoder:
    """A torchvision classifier without its last linear layer."""
    from torchvision import models

    model = name.partition(":")[2]
    if model not in models.list_models(module=models):
        similar = [known for known in models.list_models(module=models) if known.startswith(model[:4])][:5]
        raise ValueError(f"torchvision has no classifier {model!r}. Similar: {', '.join(similar)}.")
    if channels != 3:
        raise ValueError(
            f"torchvision's models take 3 channels, got channels={channels}. Repeat grey images."
        )
    body = models.get_model(model, weights="DEFAULT" if pretrained else None, **options)
    feature_dim = _take_off_head(name, body)
    _replace_stem(name, body, channels, stem)
    mean, std = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)) if pretrained else (_HALF, _HALF)
    return TorchvisionEncoder(name, body, feature_dim=feature_dim, normalize=Normalize(mean, std))


def _take_off_head(name: str, body: nn.Module) -> int:
    """Replaces the last linear layer by the identity; returns how many features it had."""
    for place in ("fc", "head", "heads", "classifier"):
        head = getattr(body, place, None)
        if isinstance(head, nn.Linear):
            setattr(body, place, nn.Identity())
            return head.in_features
        if isinstance(head, nn.Sequential) and isinstance(head[-1], nn.Linear):
            features = head[-1].in_features
            head[-1] = nn.Identity()
            return features
    raise ValueError(f"{name} has no linear classifier called fc, head, heads or classifier at its end")


def _replace_stem(name: str, body: nn.Module, channels: int, stem: str) -> None:
    """A 3 x 3 convolution without stride or pooling in front of a ResNet."""
    if stem == "standard":
        return
    first, pool = getattr(body, "conv1", None), getattr(body, "maxpool", None)
    if not isinstance(first, nn.Conv2d) or pool is None:
        raise ValueError(
            f"stem='small' needs a ResNet with conv1 and maxpool; {name} has none. Leave it at 'standard'"
        )
    body.conv1 = nn.Conv2d(channels, first.out_channels, 3, padding=1, bias=False)
    body.maxpool = nn.Identity()
