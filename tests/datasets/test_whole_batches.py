"""Sets in memory: a batch transformed as one array is, to the bit, its samples transformed one by one."""

import numpy as np
import pytest

import tinytrain as tt
from tinytrain import transforms as T
from tinytrain.datasets import ArrayDataset, Digits
from tinytrain.utils.data import DataLoader, Subset, default_collate

RNG = np.random.default_rng(0)
COLOUR = ArrayDataset(
    RNG.integers(0, 256, (20, 32, 32, 3), np.uint8), RNG.integers(0, 10, 20).tolist(), [str(i) for i in range(10)]
)
NORMALIZE = T.Normalize([0.3], [0.37])
PIPELINES = {
    "plain": [T.ToTensor()],
    "digits": [T.RandomCrop(8, padding=1), T.ToTensor(), NORMALIZE],
    "flip": [T.RandomHorizontalFlip(), T.RandomVerticalFlip(p=0.3), T.ToTensor(), NORMALIZE],
    "cifar": [T.RandomCrop(8, padding=2, padding_mode="reflect"), T.RandomHorizontalFlip(), T.ToTensor(), NORMALIZE],
    "erasing": [T.ToTensor(), T.RandomErasing(p=0.5)],
}


def one_by_one(samples):
    """Collate as by default; being another function, it keeps the loader from asking for whole batches."""
    return default_collate(samples)


@pytest.mark.parametrize("pipeline", PIPELINES)
@pytest.mark.parametrize("dataset", [Digits(train=False), COLOUR], ids=["grey", "colour"])
def test_a_whole_batch_is_its_samples(dataset, pipeline):
    dataset = dataset.with_transform(T.Compose(PIPELINES[pipeline]))
    part = Subset(dataset, range(len(dataset) - 1, 0, -3))
    assert dataset.transform.has_batch
    whole, single = (DataLoader(part, 7, shuffle=True, seed=2, collate_fn=fn) for fn in (None, one_by_one))
    for _ in range(2):
        for (x, y), (expected_x, expected_y) in zip(whole, single, strict=True):
            assert np.array_equal(x.numpy(), expected_x.numpy())
            assert y.tolist() == expected_y.tolist()
            assert (x.dtype, y.dtype) == (expected_x.dtype, expected_y.dtype) == (tt.float32, tt.int64)


def test_a_batch_does_not_change_the_set():
    dataset = COLOUR.with_transform(T.Compose([T.PILToTensor()]))
    before = dataset.data.copy()
    for images, _ in DataLoader(dataset, 20):
        images.add_(1)
    assert np.array_equal(dataset.data, before)
