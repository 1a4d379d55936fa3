"""What is drawn depends on the sample's stream alone; batches in array code equal single images to the bit."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from PIL import Image

from tinytrain import transforms as T
from tinytrain.random_streams import BatchStream, sample_stream
from tinytrain.transforms.batch import BatchTransform

RNG = np.random.default_rng(0)
PHOTO = Image.fromarray(RNG.integers(0, 256, (6, 5, 3), dtype=np.uint8)).resize((40, 33), Image.Resampling.BICUBIC)

RANDOM = [
    T.RandomCrop(20, padding=3),
    T.RandomResizedCrop(16),
    T.RandomHorizontalFlip(),
    T.RandomVerticalFlip(),
    T.RandomRotation(45),
    T.RandomAffine(20, (0.2, 0.2), (0.5, 1.5), (-10, 10, -5, 5)),
    T.RandomPerspective(),
    T.ColorJitter(0.4, 0.4, 0.4, 0.2),
    T.RandomGrayscale(0.5),
    T.RandomInvert(),
    T.RandomPosterize(2),
    T.RandomSolarize(100),
    T.RandomAdjustSharpness(3),
    T.RandomAutocontrast(),
    T.RandomEqualize(),
    T.GaussianBlur(5),
    T.RandomApply([T.Pad(1)]),
    T.RandomChoice([T.Pad(1), T.Pad(2)]),
    T.RandomOrder([T.Pad(1), T.Resize(9)]),
    T.AutoAugment(),
    T.AutoAugment("cifar10"),
    T.AutoAugment("svhn"),
    T.RandAugment(),
    T.TrivialAugmentWide(),
    T.AugMix(),
    T.Compose([T.ToTensor(), T.RandomErasing(value="random")]),
]


def transformed(transform, epoch, index):
    with sample_stream(3, epoch, index):
        result = transform(PHOTO)
    array = result.array if hasattr(result, "array") else np.asarray(result)
    return array.shape, array.tobytes()


@pytest.mark.parametrize("transform", RANDOM, ids=lambda each: type(each).__name__)
def test_a_sample_comes_out_the_same_in_any_order_and_another_in_another_epoch(transform):
    forwards = [transformed(transform, 0, index) for index in range(16)]
    backwards = [transformed(transform, 0, index) for index in reversed(range(16))]
    assert forwards == backwards[::-1]
    assert len(set(forwards)) > 1
    assert [transformed(transform, 1, index) for index in range(16)] != forwards


PIPELINES = [
    T.Compose([T.RandomCrop(9, padding=2, fill=7), T.RandomHorizontalFlip(), T.ToTensor()]),
    T.Compose([T.RandomCrop((8, 11), padding=(1, 2), padding_mode="reflect"), T.ToTensor()]),
    T.Compose([T.RandomCrop(14, pad_if_needed=True), T.RandomVerticalFlip(0.3), T.PILToTensor()]),
    T.Compose([T.Pad((1, 2, 3, 0), padding_mode="edge"), T.CenterCrop(7), T.ToTensor()]),
    T.Compose([T.CenterCrop(15), T.Compose([T.PILToTensor(), T.ConvertImageDtype("float64")])]),
    T.Compose([T.ToTensor(), T.RandomErasing(0.7), T.RandomHorizontalFlip()]),
    T.Compose([T.ToTensor(), T.Normalize([0.4], [0.3]), T.RandomErasing(1.0, value="random")]),
    T.Compose([T.ToTensor(), T.ReverseChannels()]),
    T.ToTensor(),
    T.Compose([T.AlternatingFlip(), T.ToTensor()]),
    T.Compose([T.ToTensor(), T.RandomErasing(0.5), T.AlternatingFlip()]),
    # Steps in orders in which some of them cannot be put off.
    T.Compose([T.RandomHorizontalFlip(), T.RandomCrop((10, 12), padding=(1, 2, 3, 0), fill=9), T.ToTensor()]),
    T.Compose([T.RandomVerticalFlip(), T.Pad((0, 1, 2, 3), padding_mode="symmetric"), T.RandomCrop(9), T.ToTensor()]),
    T.Compose([T.RandomCrop(6), T.Pad(2), T.RandomCrop(9), T.RandomHorizontalFlip(), T.ToTensor()]),
    T.Compose([T.Pad(1, fill=3), T.Pad(2, fill=3), T.Pad(1, fill=5), T.RandomCrop(13), T.ToTensor()]),
    T.Compose([T.Pad(2, padding_mode="reflect"), T.Pad(2, padding_mode="reflect"), T.RandomCrop(13), T.ToTensor()]),
    T.Compose([T.Pad((-1, 2)), T.RandomCrop(9), T.ToTensor()]),
    T.Compose([T.ToTensor(), T.RandomCrop(8), T.RandomHorizontalFlip(), T.Normalize(0.4, 0.3), T.RandomVerticalFlip()]),
    T.Compose([T.ToTensor(), T.RandomCrop(12, padding=2, fill=0.3), T.RandomErasing(0.5, value=0.1)]),
    T.Compose([T.RandomCrop(12, padding=2), T.ToTensor(), T.Normalize(0.4, 0.3), T.RandomErasing(1.0, value=0.7)]),
    T.Compose([T.ToTensor(), T.RandomErasing(0.8, value=0.2), T.RandomErasing(0.8), T.Normalize(0.4, 0.3)]),
]


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("pipeline", PIPELINES, ids=repr)
def test_a_batch_in_array_code_equals_its_images_one_by_one(pipeline, channels):
    images = RNG.integers(0, 256, (40, 10, 12, channels), dtype=np.uint8)
    indices = RNG.permutation(1000)[:40]
    assert pipeline.has_batch
    batch = pipeline.batch(images, np.arange(40), BatchStream(5, 2, indices))
    for row, index in enumerate(indices):
        with sample_stream(5, 2, int(index)):
            alone = pipeline(Image.fromarray(images[row].squeeze())).array
        assert batch.dtype == alone.dtype
        assert np.array_equal(batch[row], alone)


def test_every_batch_transform_is_in_one_of_the_compared_pipelines():
    compared = {type(step) for pipeline in PIPELINES for step in pipeline.batch_steps()}
    kinds = {kind for kind in T.TRANSFORMS.values() if issubclass(kind, BatchTransform)}
    assert kinds == compared


@pytest.mark.parametrize(
    "pipeline",
    [
        T.Compose([T.RandomHorizontalFlip()]),  # ends with Pillow images
        T.Compose([T.Resize(8), T.ToTensor()]),
        T.Compose([T.ToTensor(), lambda img: img]),
        T.Compose([T.RandomApply([T.Pad(1)]), T.ToTensor()]),
    ],
    ids=["Pillow images at the end", "a step without one", "a function", "a random choice"],
)
def test_pipelines_with_other_steps_have_no_batch_form(pipeline):
    assert not pipeline.has_batch


def test_random_choice_follows_its_weights():
    choice = T.RandomChoice([lambda x: 0, lambda x: 1, lambda x: 2], p=[1, 0, 3])
    drawn = []
    for index in range(400):
        with sample_stream(0, 0, index):
            drawn.append(choice(None))
    assert 60 < drawn.count(0) < 140
    assert drawn.count(1) == 0


def test_random_apply_applies_all_or_nothing():
    both = T.RandomApply([lambda x: x + 1, lambda x: x + 1])
    seen = set()
    for index in range(50):
        with sample_stream(0, 0, index):
            seen.add(both(0))
    assert seen == {0, 2}


def test_color_jitter_without_ranges_leaves_the_image_alone():
    assert T.ColorJitter()(PHOTO) is PHOTO


def test_erasing_overwrites_one_box_of_the_given_share():
    for index in range(50):
        with sample_stream(0, 0, index):
            erased = T.RandomErasing(1.0, scale=(0.1, 0.2), value=9)(T.functional.to_tensor(Image.new("L", (30, 30))))
        mask = erased.array[0] == 9
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        assert mask.sum() == (rows[-1] - rows[0] + 1) * (columns[-1] - columns[0] + 1)
        assert 0.07 < mask.mean() < 0.24


@pytest.mark.parametrize(
    "build",
    [
        lambda p: T.RandomHorizontalFlip(p),
        lambda p: T.RandomVerticalFlip(p),
        lambda p: T.RandomGrayscale(p),
        lambda p: T.RandomPerspective(p=p),
        lambda p: T.RandomApply([T.Pad(1)], p),
    ],
)
@pytest.mark.parametrize("p", [1.5, -0.1, "0.5"])
def test_what_is_no_probability_is_refused(build, p):
    with pytest.raises(ValueError, match=r"Random\w+: `p` \(=.*\) must be a probability, from 0 to 1"):
        build(p)


@pytest.mark.parametrize("transform", RANDOM, ids=lambda each: type(each).__name__)
def test_a_transform_can_be_sent_to_a_worker_process(transform):
    sent = pickle.loads(pickle.dumps(transform))
    assert repr(sent) == repr(transform)
    assert transformed(sent, 0, 7) == transformed(transform, 0, 7)


def test_an_alternating_flip_shows_each_image_either_way_in_two_epochs_and_starts_at_random():
    plain, mirrored = PHOTO.tobytes(), PHOTO.transpose(Image.Transpose.FLIP_LEFT_RIGHT).tobytes()
    seen = [[transformed(T.AlternatingFlip(), epoch, index)[1] for index in range(64)] for epoch in range(4)]
    assert {each for epoch in seen for each in epoch} == {plain, mirrored}
    flipped = [[each == mirrored for each in epoch] for epoch in seen]
    assert flipped[0] == flipped[2] == [not each for each in flipped[1]] == [not each for each in flipped[3]]
    assert 16 < sum(flipped[0]) < 48
