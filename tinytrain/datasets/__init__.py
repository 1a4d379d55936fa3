"""Image sets, with the names of torchvision's `torchvision.datasets`."""

from tinytrain.datasets.catalog import DATASETS, Splits, load_splits
from tinytrain.datasets.cifar import CIFAR10, CIFAR100
from tinytrain.datasets.digits import Digits
from tinytrain.datasets.folder import DatasetFolder, ImageFolder
from tinytrain.datasets.idx_dataset import IDX
from tinytrain.datasets.image_reading import pil_loader, read_image
from tinytrain.datasets.labels_file import LabelsFile
from tinytrain.datasets.mnist import EMNIST, KMNIST, MNIST, QMNIST, FashionMNIST
from tinytrain.datasets.splits import balanced_subset, stratified_split
from tinytrain.datasets.vision import ArrayDataset, VisionDataset

__all__ = [
    "ArrayDataset",
    "CIFAR10",
    "CIFAR100",
    "DATASETS",
    "DatasetFolder",
    "Digits",
    "EMNIST",
    "FashionMNIST",
    "IDX",
    "ImageFolder",
    "KMNIST",
    "LabelsFile",
    "MNIST",
    "QMNIST",
    "Splits",
    "VisionDataset",
    "balanced_subset",
    "load_splits",
    "pil_loader",
    "read_image",
    "stratified_split",
]
