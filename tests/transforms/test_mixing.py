"""MixUp and CutMix: the images of a batch and their labels are mixed in the same shares."""

from __future__ import annotations

import numpy as np
import pytest

from tinytrain import transforms as T
from tinytrain.random_streams import sample_stream
from tinytrain.tensor import wrap


def batch(n=4, size=8):
    """Return images that are constant, each of its own number, and their labels."""
    images = np.broadcast_to(np.arange(n, dtype=np.float32)[:, None, None, None], (n, 3, size, size)).copy()
    return wrap(images), wrap(np.arange(n))


def mixed(transform, index, *inputs):
    with sample_stream(0, 0, index):
        return transform(*inputs)


@pytest.mark.parametrize("kind", [T.MixUp, T.CutMix])
def test_images_and_labels_are_mixed_in_the_same_share(kind):
    images, labels = batch()
    shares = set()
    for index in range(20):
        out, targets = mixed(kind(num_classes=4), index, images, labels)
        share = targets.array[2, 2]
        shares.add(round(float(share), 3))
        assert np.allclose(targets.array.sum(axis=1), 1)
        assert np.allclose(targets.array[2], [0, 1 - share, share, 0])  # with the image before it
        assert np.allclose(out.array[2].mean(), 2 * share + 1 * (1 - share), atol=1e-5)
        assert np.allclose(targets.array[0], [share, 0, 0, 1 - share])  # the first with the last
    assert len(shares) > 10


def test_cutmix_cuts_one_box():
    images, labels = batch()
    out, _ = mixed(T.CutMix(num_classes=4), 3, images, labels)
    mask = out.array[1, 0] == 0
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    assert set(np.unique(out.array[1])) == {0.0, 1.0}
    assert mask.sum() == len(rows) * len(columns)


def test_the_input_is_left_alone():
    images, labels = batch()
    mixed(T.CutMix(num_classes=4), 0, images, labels)
    assert np.array_equal(images.array, batch()[0].array)


def test_a_pair_and_label_distributions_are_taken_too():
    images, labels = batch()
    pair = mixed(T.MixUp(num_classes=4), 1, (images, labels))
    soft = mixed(T.MixUp(), 1, images, wrap(np.eye(4, dtype=np.float32)))
    assert np.array_equal(pair[1].array, soft[1].array)


def test_a_small_alpha_mixes_little():
    images, labels = batch()
    shares = [mixed(T.MixUp(alpha=0.01, num_classes=4), i, images, labels)[1].array[2, 2] for i in range(40)]
    assert sum(0.02 < share < 0.98 for share in shares) <= 4


@pytest.mark.parametrize(
    ("transform", "inputs", "text"),
    [
        (T.MixUp(), batch(), "num_classes must be passed if the labels are index-based"),
        (T.MixUp(num_classes=3), (batch()[0], wrap(np.eye(4))), "must match num_classes: 4 != 3"),
        (T.MixUp(num_classes=3), (batch()[0], [0, 1, 2, 3]), "The labels must be a tensor, but got"),
        (T.CutMix(num_classes=3), (wrap(np.zeros((3, 4, 4))), wrap(np.arange(3))), "4 dims, but got 3 dimensions"),
        (T.CutMix(num_classes=3), (batch()[0], wrap(np.arange(3))), "does not match the batch size of the labels"),
        (T.CutMix(num_classes=3), (3, wrap(np.arange(3))), "it belongs after collation"),
    ],
)
def test_unfit_batches_are_refused(transform, inputs, text):
    with pytest.raises(ValueError, match=text):
        transform(*inputs)


def test_alpha_must_be_positive():
    with pytest.raises(ValueError, match=r"MixUp: `alpha` \(=0\) must be above 0"):
        T.MixUp(alpha=0)
