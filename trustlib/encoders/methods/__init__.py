"""Ways to train an encoder: what the loss of a batch of views is, and what moves besides the gradient.

Each method is one class with its loss, its heads and the defaults of its paper. Losses and heads come from lightly
where it has them.
"""

from trustlib.encoders.methods.base import Batch, BatchLossError, Method, PerExample
from trustlib.encoders.methods.dino import DINO
from trustlib.encoders.methods.mae import MAE
from trustlib.encoders.methods.moco import MoCoV2
from trustlib.encoders.methods.registry import METHODS, MethodName, build_method
from trustlib.encoders.methods.simclr import SimCLR
from trustlib.encoders.methods.simsiam import SimSiam
from trustlib.encoders.methods.supervised import Supervised
from trustlib.encoders.methods.vicreg import VICReg

__all__ = [
    "DINO",  # self-distillation with a momentum teacher
    "MAE",  # masked autoencoder
    "METHODS",  # classes by name
    "Batch",  # views of some images, with their labels and keys
    "BatchLossError",  # the loss of one example is not defined
    "Method",  # base class
    "MethodName",  # names of the methods
    "MoCoV2",  # contrast against a queue
    "PerExample",  # module that gives one loss per example, for DP-SGD
    "SimCLR",  # contrast within the batch
    "SimSiam",  # prediction without negatives
    "Supervised",  # cross-entropy on labels
    "VICReg",  # variance, invariance, covariance
    "build_method",  # a method by name
]
