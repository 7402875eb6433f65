"""Encoders of images: views, backbones, self-supervised and supervised training, probes, layers, artefacts.

Images are in [0, 1] everywhere outside of a network; normalisation is a part of the encoder.
"""

from trustlib.encoders.artefacts import encoder_folder, train_or_load
from trustlib.encoders.backbones import Encoder, backbone
from trustlib.encoders.embeddings import embed
from trustlib.encoders.keys import view_keys
from trustlib.encoders.methods import Batch, BatchLossError, Method, PerExample, build_method
from trustlib.encoders.probes import Probe, knn_probe, linear_probe
from trustlib.encoders.recipes import Recipe
from trustlib.encoders.tapping import Taps, evaluating, find_layer, layer_names, tap_layers
from trustlib.encoders.training import TrainedEncoder, train
from trustlib.encoders.views import Augmentation, augmentation

__all__ = [
    "Augmentation",  # a distribution of random views, drawn per image, applied per batch
    "Batch",  # views of some images, with labels and keys
    "BatchLossError",  # one example has no loss of its own
    "Encoder",  # a network from images in [0, 1] to features
    "Method",  # an encoder with what is needed to train it
    "PerExample",  # one loss per example, for DP-SGD
    "Probe",  # what a probe says about test points
    "Recipe",  # what decides the weights of an encoder, besides the data
    "Taps",  # responses of layers
    "TrainedEncoder",  # what a training leaves
    "augmentation",  # a named distribution of views
    "backbone",  # an encoder by name
    "build_method",  # a training method by name
    "embed",  # features of many images
    "encoder_folder",  # where encoders are kept
    "evaluating",  # evaluation mode for a while, without a trace
    "find_layer",  # a layer by dotted name
    "knn_probe",  # accuracy of nearest neighbours
    "layer_names",  # layers that can be tapped
    "linear_probe",  # accuracy of a linear classifier
    "tap_layers",  # responses of layers by dotted name
    "train",  # train an encoder
    "train_or_load",  # train it once, load it ever after
    "view_keys",  # keys of views: randomness that depends on no batch
]
