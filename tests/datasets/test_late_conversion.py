"""Photos travel as pixels and become floats by the batch: to the bit what each becomes alone."""

import numpy as np
import pytest
from PIL import Image

import tinytrain as tt
from tinytrain import transforms as T
from tinytrain.datasets import ImageFolder
from tinytrain.kernels.native.extension import native
from tinytrain.transforms.late import LateConversion, put_off_conversion
from tinytrain.utils.data import DataLoader, Subset, default_collate
from tinytrain.utils.data.dataset import put_off

NORMALIZE = T.Normalize([0.5, 0.4, 0.3], [0.2, 0.3, 0.4])
PHOTOS = [T.RandomResizedCrop(12), T.RandomHorizontalFlip(), T.ToTensor(), NORMALIZE]


def one_by_one(samples):
    """Collate as by default; being another function, it keeps the loader from putting anything off."""
    return default_collate(samples)


def open_as_it_is(path):
    with Image.open(path) as image:
        image.load()
        return image


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    for number in range(9):
        target = tmp_path / "ab"[number % 2]
        target.mkdir(exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (20, 20 + number, 3), np.uint8)).save(target / f"{number}.png")
    return tmp_path


def assert_same_batches(dataset, **options):
    late, single = (DataLoader(dataset, 4, shuffle=True, seed=3, collate_fn=fn, **options) for fn in (None, one_by_one))
    for (x, y), (expected_x, expected_y) in zip(late, single, strict=True):
        assert x.dtype is expected_x.dtype
        assert np.array_equal(x.numpy(), expected_x.numpy())
        assert y.tolist() == expected_y.tolist()


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("last", [[], [NORMALIZE], [NORMALIZE, NORMALIZE]], ids=len)
def test_a_batch_is_its_samples(folder, last, workers):
    dataset = ImageFolder(folder, T.Compose([*PHOTOS[:3], *last]))
    assert put_off(dataset) is not None
    assert_same_batches(Subset(dataset, [8, 1, 5, 0, 7]), num_workers=workers)


@pytest.mark.parametrize(
    ("mode", "last", "dtype"),
    [("1", [], tt.float32), ("L", [], tt.float32), ("I;16", [], tt.int32), ("F", [T.Normalize([9], [4])], tt.float32)],
)
def test_every_mode_becomes_what_totensor_makes_of_it(tmp_path, mode, last, dtype):
    (tmp_path / "a").mkdir()
    values = np.random.default_rng(1).integers(0, 256, (5, 6))
    for number in range(3):
        grey = Image.fromarray((values * 257).astype(np.uint16) if mode == "I;16" else values.astype(np.uint8))
        grey.convert(mode).save(tmp_path / "a" / f"{number}.tif")
    dataset = ImageFolder(tmp_path, T.Compose([T.ToTensor(), *last]), loader=open_as_it_is)
    assert dataset[0][0].dtype is dtype
    assert_same_batches(dataset)


def test_the_default_type_is_that_of_the_process_that_takes_the_batch(folder):
    loader = DataLoader(ImageFolder(folder, T.Compose(PHOTOS)), 9, num_workers=1)
    tt.set_default_dtype(tt.float64)
    try:
        assert next(iter(loader))[0].dtype is tt.float64
    finally:
        tt.set_default_dtype(tt.float32)


def test_the_pixels_of_a_photo_are_not_scaled_in_the_worker(folder):
    pixels, _ = put_off(ImageFolder(folder, T.Compose(PHOTOS)))
    assert pixels[0][0].dtype is tt.uint8


@pytest.mark.parametrize(
    "transform",
    [
        None,
        T.ToTensor(),
        T.Compose([T.PILToTensor()]),
        T.Compose([T.ToTensor(), T.RandomErasing()]),
        T.Compose([T.ToTensor(), T.Lambda(abs)]),
    ],
)
def test_a_pipeline_with_another_end_is_left_alone(transform):
    assert put_off_conversion(transform) is None


class Views(ImageFolder):
    """Two views of each image."""

    def __getitem__(self, index):
        return [super(Views, self).__getitem__(index)[0] for _ in range(2)]


def test_a_subclass_with_samples_of_its_own_is_left_alone(folder):
    dataset = Views(folder, T.Compose(PHOTOS))
    assert put_off(dataset) is None
    assert put_off(Subset(dataset, [0, 1])) is None
    assert [view.dtype for view in next(iter(DataLoader(dataset, 2)))] == [tt.float32, tt.float32]


def test_a_conversion_that_cannot_be_is_refused_as_ever(folder):
    dataset = ImageFolder(folder, T.Compose([*PHOTOS[:3], T.Normalize([0.5, 0.5], [1, 1])]))
    with pytest.raises(RuntimeError, match="Normalize: `mean` has 2 values for an image of 3 channels"):
        next(iter(DataLoader(dataset, 4)))


@pytest.mark.skipif(native() is None, reason="the native kernels are not built, or not wanted")
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_floats_from_the_table_are_those_of_the_arithmetic(channels):
    pixels = np.random.default_rng(0).integers(0, 256, (3, 30, 21, channels), dtype=np.uint8).transpose(0, 3, 1, 2)
    factors = np.linspace(0.2, 0.7, channels).tolist()
    convert = LateConversion([T.Normalize(factors, factors[::-1]), T.Normalize(0.3, 0.1)])
    found = convert(tt.from_numpy(pixels)).array
    np.testing.assert_array_equal(found, convert._convert(pixels), strict=True)
    assert found.strides[1] == 4, "channels last, as the kernels of the network like it"
