"""The CPU generator against PyTorch's: the same numbers for many seeds, sizes and types."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tinytrain.generator import Generator
from tinytrain.tensor import share

torch = pytest.importorskip("torch")

SEEDS = [0, 1, 42, 2**32 + 7, -3, 2**63 + 5]
COUNTS = [0, 1, 2, 3, 15, 16, 17, 31, 32, 100, 700, 5000]
FLOATS = ["float16", "float32", "float64"]
INTEGERS = ["bool", "uint8", "int8", "int16", "int32", "int64"]

CPUINFO = Path("/proc/cpuinfo")
takes_mkl_stream = pytest.mark.skipif(
    CPUINFO.exists() and "GenuineIntel" in CPUINFO.read_text(),
    reason="PyTorch draws these from MKL on an Intel CPU",
)


def seeded(seed: int) -> Generator:
    """Return our generator, and start PyTorch's, from one seed."""
    torch.manual_seed(seed)
    return Generator().manual_seed(seed)


def copy_of(generator: Generator) -> Generator:
    copy = Generator()
    copy.set_state(generator.get_state())
    return copy


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", FLOATS)
def test_uniform(seed, name):
    generator = seeded(seed)
    for count in COUNTS:
        theirs = torch.rand(count, dtype=getattr(torch, name)).numpy()
        assert generator.uniform((count,), name).tobytes() == theirs.tobytes()
        theirs = torch.empty(count, dtype=getattr(torch, name)).uniform_(-0.3, 0.75).numpy()
        ours = generator.uniform((count,), name, -0.3, 0.75)
        if name == "float32":
            assert ours.tobytes() == theirs.tobytes()
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=np.finfo(name).eps)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", FLOATS)
def test_normal(seed, name):
    generator = seeded(seed)
    for count in COUNTS:
        theirs = torch.randn(count, dtype=getattr(torch, name)).numpy()
        ours = generator.normal((count,), name)
        np.testing.assert_array_max_ulp(ours, theirs, 4)
        theirs = torch.empty(count, dtype=getattr(torch, name)).normal_(2.0, 0.5).numpy()
        ours = generator.normal((count,), name, 2.0, 0.5)
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=3 * np.finfo(name).eps)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", INTEGERS + FLOATS)
def test_integers_over_the_whole_range(seed, name):
    generator = seeded(seed)
    for count in COUNTS:
        theirs = torch.empty(count, dtype=getattr(torch, name)).random_().numpy()
        assert generator.integers((count,), name).tobytes() == theirs.tobytes()


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(
    ("low", "high"), [(0, 1), (-5, 10), (0, 2**28 - 1), (0, 2**28), (-(2**40), 2**40), (-(2**62), 2**62)]
)
def test_integers_in_a_range(seed, low, high):
    generator = seeded(seed)
    for count in COUNTS:
        theirs = torch.randint(low, high, (count,)).numpy()
        assert generator.integers((count,), "int64", low, high).tobytes() == theirs.tobytes()


@pytest.mark.parametrize("seed", SEEDS)
def test_permutation(seed):
    generator = seeded(seed)
    for count in COUNTS:
        assert generator.permutation(count).tolist() == torch.randperm(count).tolist()


@takes_mkl_stream
@pytest.mark.parametrize("seed", SEEDS)
def test_bernoulli_and_exponential(seed):
    generator = seeded(seed)
    for count in COUNTS:
        theirs = torch.empty(count).bernoulli_(0.3)
        assert generator.bernoulli((count,), 0.3).tolist() == theirs.bool().tolist()
        for name in ("float32", "float64"):
            chances = torch.linspace(0, 1, max(count, 1), dtype=getattr(torch, name))
            ours = generator.bernoulli(tuple(chances.shape), chances.numpy())
            assert ours.tolist() == torch.bernoulli(chances).bool().tolist()
        theirs = torch.empty(count).exponential_(1.5).numpy()
        np.testing.assert_array_max_ulp(generator.exponential((count,), "float32", 1.5), theirs, 1)


@takes_mkl_stream
@pytest.mark.parametrize("seed", SEEDS)
def test_multinomial(seed):
    generator = seeded(seed)
    weights = torch.rand(4, 30, generator=torch.Generator().manual_seed(0))
    for count, replacement in [(1, False), (7, False), (30, False), (1, True), (50, True)]:
        theirs = torch.multinomial(weights, count, replacement)
        assert generator.multinomial(weights.numpy(), count, replacement).tolist() == theirs.tolist()


@pytest.mark.parametrize("seed", SEEDS)
def test_states_can_be_handed_over_in_both_directions(seed):
    generator = seeded(seed)
    for count in (0, 3, 620, 1, 1, 2, 5000):
        generator.normal((count,), "float32")
        torch.randn(count)
        assert generator.get_state().numpy()[:5016].tolist() == torch.get_rng_state()[:5016].tolist()
        other = Generator()
        other.set_state(share(torch.get_rng_state().numpy()))
        assert other.normal((3,), "float32").tolist() == copy_of(generator).normal((3,), "float32").tolist()
        theirs = torch.Generator()
        theirs.set_state(torch.from_numpy(generator.get_state().numpy()))
        assert torch.randperm(9, generator=theirs).tolist() == copy_of(generator).permutation(9).tolist()
