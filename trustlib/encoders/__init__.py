"""Encoders of images: views, backbones, self-supervised and supervised training, probes, layers, artefacts."""

from trustlib.encoders.keys import view_keys
from trustlib.encoders.views import Augmentation, augmentation

__all__ = [
    "Augmentation",  # a distribution of random views, drawn per image, applied per batch
    "augmentation",  # a named one
    "view_keys",  # keys of views: randomness that depends on no batch
]
