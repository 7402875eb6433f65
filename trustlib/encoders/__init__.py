"""Encoders of images: views, backbones, self-supervised and supervised training, probes, layers, artefacts."""

from trustlib.encoders.augmentation import Augmentation, augmentation
from trustlib.encoders.keys import view_keys

__all__ = [
    "Augmentation",  # a distribution of random views, drawn per image, applied per batch
    "augmentation",  # a named one
    "view_keys",  # keys of views: randomness that depends on no batch
]
