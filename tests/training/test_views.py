"""Several views of an image are judged by the mean of their probabilities."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

import tinytrain as tt
import tinytrain.nn.functional as F
from tinytrain import nn
from tinytrain.datasets import ArrayDataset
from tinytrain.errors import ConfigError
from tinytrain.training.views import MeanOfViews, Views
from tinytrain.transforms import CenterCrop, Compose, Normalize, TenCrop, ToTensor
from tinytrain.utils.data import DataLoader

IMAGE = Image.fromarray(np.arange(6 * 8 * 3, dtype=np.uint8).reshape(6, 8, 3))


def test_flip_gives_the_image_and_its_mirror_image():
    pipeline = Compose([ToTensor(), Normalize([0.5], [0.5])])
    views = Views(pipeline, "flip")(IMAGE).numpy()
    plain = pipeline(IMAGE).numpy()
    assert np.array_equal(views, np.stack([plain, plain[:, :, ::-1]]))


def test_the_views_of_a_whole_batch_are_those_of_its_images():
    views = Views(Compose([ToTensor(), Normalize([0.5], [0.5])]), "flip")
    images = np.random.default_rng(0).integers(0, 256, (5, 6, 8, 3), np.uint8)
    dataset = ArrayDataset(images, [0] * 5, ["a"], transform=views)
    (batch, _) = next(iter(DataLoader(dataset, 3)))
    assert np.array_equal(batch.numpy(), np.stack([views(Image.fromarray(image)).numpy() for image in images[:3]]))
    assert dataset.whole_batch_problem() is None
    assert not Views(Compose([CenterCrop(4), ToTensor()]), "ten_crop").has_batch


@pytest.mark.parametrize(("augmentation", "count"), [("five_crop", 5), ("ten_crop", 10)])
def test_crops_take_the_place_of_the_centre_crop(augmentation: str, count: int):
    views = Views(Compose([CenterCrop(4), ToTensor()]), augmentation)(IMAGE)
    expected = [ToTensor()(crop).numpy() for crop in TenCrop(4)(IMAGE)][:count]
    assert np.array_equal(views.numpy(), np.stack(expected))


def test_crops_without_a_centre_crop_are_refused():
    with pytest.raises(ConfigError, match=r"ten_crop needs a CenterCrop among the evaluation transforms.* Use flip"):
        Views(Compose([ToTensor()]), "ten_crop")


def test_the_mean_is_that_of_the_probabilities():
    tt.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(12, 5))
    views = tt.randn(3, 2, 3, 2, 2)
    logits = MeanOfViews(model)(views)
    expected = (F.softmax(model(views[:, 0]), dim=1) + F.softmax(model(views[:, 1]), dim=1)) / 2
    assert F.softmax(logits, dim=1).detach().numpy() == pytest.approx(expected.detach().numpy(), rel=1e-5)
