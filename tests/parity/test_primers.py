"""Programs as PyTorch primers have them, run by both libraries: only the import lines change, the output does not."""

from __future__ import annotations

import contextlib
import io
import re
import textwrap

import pytest

from .oracle import torch  # noqa: F401  (skips without it, and stubs what torchvision registers)

pytestmark = [pytest.mark.torch, pytest.mark.filterwarnings("ignore")]

PROGRAMS = {
    "dataset and loader": """
        import torch
        from torch.utils.data import Dataset, DataLoader

        class Points(Dataset):
            def __init__(self):
                self.points = torch.randn(10, 3)
                self.labels = torch.randint(0, 2, (10,))

            def __len__(self):
                return len(self.labels)

            def __getitem__(self, index):
                return self.points[index], self.labels[index]

        torch.manual_seed(0)
        data = Points()
        print(len(data), data[0])
        loader = DataLoader(data, batch_size=2, shuffle=True, num_workers=0)
        for epoch in range(2):
            for step, (points, labels) in enumerate(loader):
                print(epoch, step, points, labels, points.shape, labels.dtype)
    """,
    "loader in order, with an odd last batch": """
        import torch
        from torch.utils.data import DataLoader, TensorDataset, random_split

        torch.manual_seed(3)
        data = TensorDataset(torch.arange(14).view(7, 2), torch.arange(7))
        print([[batch.tolist() for batch in pair] for pair in DataLoader(data, batch_size=3)])
        print(len(DataLoader(data, batch_size=3, drop_last=True)))
        for part in random_split(data, [5, 2]):
            print(len(part), [label.item() for _, label in part])
    """,
    "convolution that keeps the size": """
        import torch
        from torch import nn

        torch.manual_seed(0)
        image = torch.tensor(
            [[4, 1, 7, 5], [4, 4, 2, 5], [7, 7, 2, 4], [1, 0, 2, 4]], dtype=torch.float32
        ).unsqueeze(0).unsqueeze(0)
        print(image, image.shape)
        conv = nn.Conv2d(1, 1, (2, 2), stride=1, padding='same', bias=True)
        print(conv)
        print(conv.weight)
        print(conv.bias)
        print(conv(image), conv(image).shape)
    """,
    "depthwise convolution, then pointwise": """
        import torch
        import torch.nn as nn

        torch.manual_seed(1)
        depthwise = nn.Conv2d(4, 4, kernel_size=3, padding=1, groups=4)
        pointwise = nn.Conv2d(4, 6, kernel_size=1)
        x = torch.rand(2, 4, 5, 5)
        y = pointwise(depthwise(x))
        print(depthwise, pointwise, y.shape, depthwise.weight.shape, pointwise.weight.shape)
        print(sum(p.numel() for p in depthwise.parameters()), sum(p.numel() for p in pointwise.parameters()))
        print(nn.Sequential(depthwise, nn.BatchNorm2d(4), nn.ReLU(), pointwise))
    """,
    "from NumPy and back": """
        import numpy as np
        import torch

        array = np.array([[1, 2, 3], [4, 5, 6]])
        tensor = torch.from_numpy(array)
        print(tensor, tensor.dtype, tensor.shape, tensor.size(), tensor.size(1), tensor.ndim)
        array[0, 0] = 100
        print(tensor)
        print(tensor[0, 0].item(), tensor.numpy().tolist(), tensor.tolist())
        print(torch.tensor(array).float().mean(), torch.from_numpy(np.linspace(0, 1, 5)))
        print(type(tensor.numpy()).__name__, torch.tensor([1.5]).item())
    """,
    "joining and splitting": """
        import torch

        a = torch.arange(6).reshape(2, 3)
        b = a + 10
        print(torch.cat([a, b], dim=0))
        print(torch.cat((a, b), dim=1))
        print(torch.stack([a, b]), torch.stack([a, b], dim=2).shape)
        print(torch.chunk(torch.arange(10), 3))
        print(torch.split(torch.arange(10), 4), torch.split(torch.arange(10), [1, 9]))
        print(torch.unbind(a), torch.unbind(a, dim=1))
        print(torch.index_select(a, 1, torch.tensor([0, 2])))
        print(torch.masked_select(a, a.ge(3)), a >= 3)
        print(torch.take(a, torch.tensor([0, 5])), torch.where(a > 2, a, b))
    """,
    "permute, view, reshape": """
        import torch

        x = torch.arange(24).view(2, 3, 4)
        y = x.permute(2, 0, 1)
        print(y.shape, y.is_contiguous(), y.stride())
        try:
            y.view(4, 6)
        except RuntimeError:
            print('view is refused')
        print(y.reshape(4, 6))
        print(y.contiguous().view(4, 6).shape, x.transpose(0, 1).shape, x[0].t())
        print(x.flatten(1).shape, x.squeeze().shape, x[:, None].shape, x.unsqueeze(-1).size())
        z = torch.zeros(2, 3)
        z.view(6)[4] = 1
        print(z, z.expand(2, 2, 3).shape, z.repeat(2, 1))
    """,
    "making tensors": """
        import torch

        torch.manual_seed(42)
        print(torch.zeros(2, 3), torch.ones(2, dtype=torch.int64), torch.full((2, 2), 7), torch.eye(3))
        print(torch.arange(0, 10, 2), torch.linspace(0, 1, 5), torch.rand(2, 2), torch.randn(2, 3))
        print(torch.randint(0, 10, (2, 3)), torch.randperm(6), torch.rand_like(torch.zeros(2)))
        print(torch.tensor([[1, 2], [3, 4]]), torch.tensor([1.0, 2]), torch.tensor([True, False]))
        print(torch.zeros_like(torch.ones(2, 2)), torch.empty(0), torch.rand(3, 4).shape)
        print(torch.normal(0.0, 1.0, (3,)), torch.bernoulli(torch.tensor([0.0, 1.0])))
    """,
    "indexing and in-place changes": """
        import torch

        x = torch.arange(12.0).reshape(3, 4)
        print(x[0], x[:, 1], x[..., -1], x[1:, ::2], x[-1, -1])
        x[0] = -1
        x[:, 3] *= 2
        print(x, x.add_(1), x[x > 5], x[[0, 2]], x[torch.tensor([2, 0]), torch.tensor([1, 1])])
        print(x.clamp_(0, 6), x.fill_(3), x.zero_())
    """,
    "arithmetic and reductions": """
        import torch

        a = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
        b = torch.tensor([10, 20])
        print(a + b, a * b, a @ a, a.matmul(a), a ** 2, 1 / a, b // 3, b % 7, -a, a > 2)
        print(a.sum(), a.sum(dim=0), a.mean(1, keepdim=True), a.max(), a.max(dim=1), a.argmax(), a.std(), a.var(0))
        print(b / 3, (b + 0.5).dtype, b.sum(), b.float().mean(), torch.sqrt(a), a.exp(), a.t(), a.numel())
        print(1 << b, 64 >> b, a[0].broadcast_to(2, 2), torch.broadcast_to(a[0], (2, 2)))
        print(torch.allclose(a, a), torch.equal(a, a), a.min(0).values, a.topk(1), a.sort(descending=True))
    """,
    "gradients": """
        import torch

        x = torch.ones(2, 2, requires_grad=True)
        y = x + 2
        z = y * y * 3
        out = z.mean()
        print(x, y, z, out)
        print(y.grad_fn is not None, x.is_leaf, y.is_leaf, x.grad)
        out.backward()
        print(x.grad)
        with torch.no_grad():
            print((x * 2).requires_grad)
        print(x.detach().requires_grad, (x ** 2).sum())
        v = torch.tensor([0.1, 1.0, 0.0001])
        w = torch.tensor([1.0, 2.0, 3.0], requires_grad=True)
        (w * 2).backward(v)
        print(w.grad)
    """,
    "a regression trained by hand": """
        import torch

        torch.manual_seed(0)
        x = torch.linspace(-1, 1, 20)
        y = 3 * x + 1
        w, b = torch.zeros(1, requires_grad=True), torch.zeros(1, requires_grad=True)
        for step in range(30):
            loss = ((w * x + b - y) ** 2).mean()
            loss.backward()
            with torch.no_grad():
                w -= 0.1 * w.grad
                b -= 0.1 * b.grad
                w.grad.zero_()
                b.grad.zero_()
            if step % 10 == 0:
                print(step, f'{loss.item():.4f}')
        print(w, b)
    """,
    "names of the operations that made a tensor": """
        import torch
        from torch import nn

        torch.manual_seed(0)
        a = torch.arange(6.0).reshape(2, 3).requires_grad_()
        for part in (a[0], a[:, 0], a[..., 0], a[0, 1:], a[1:, 0], a[None], a[0:1], a[:], a[0, 0], a[a > 2]):
            print(part)
        print(a.max(), a.min(), a.max(1), a.clamp(0, 1), a[0] @ a[1], a @ a[0], a @ a.t(), a.mm(a.t()), a.var())
        print(nn.Linear(3, 2)(a), nn.Linear(3, 2)(a[0]), nn.Linear(3, 2, bias=False)(a))
        b = a * 2
        b[0] = 1
        print(b, b[0], f'{b.sum()} {b.mean():.2f} {a}', 3.0 in a, 99 in a, reversed(a))
    """,
    "containers": """
        import torch
        from torch import nn

        print(nn.ModuleList([nn.Linear(1, 1)] * 3), nn.ModuleList())
        print(nn.ModuleList([nn.ReLU(), *(nn.Sequential(nn.ReLU(), nn.Tanh()) for _ in range(2))]))
        print(nn.ParameterList([torch.ones(2, 3), torch.ones(1)]), nn.ParameterList())
        print(nn.ParameterDict({'a': nn.Parameter(torch.ones(2)), 'b': nn.Parameter(torch.ones(2, 2).double())}))
        print(nn.Linear(1, 1).load_state_dict({'weight': torch.ones(1, 1), 'other': 1}, strict=False))
    """,
    "whatever device is there": """
        import torch

        device = torch.accelerator.current_accelerator().type if torch.accelerator.is_available() else 'cpu'
        print(f'Using {device} device', torch.accelerator.device_count())
        x = torch.ones(2, 2).to(device)
        print(x.device == torch.device(device), x.sum())
        print(x * 2)
    """,
    "results stored in a tensor of the caller's": """
        import torch

        a = torch.arange(4.0).reshape(2, 2)
        product, total, counts = torch.empty(2, 2), torch.empty(2, 2), torch.ones(2, dtype=torch.int64)
        torch.matmul(a, a.T, out=product)
        torch.mul(a, a, out=total)
        print(product, total, torch.mm(a, a, out=product) is product, product)
        print(torch.add(total, a, alpha=2, out=total), total, torch.sub(counts, 3, out=total[0]), total)
        print(torch.div(a, 2, out=torch.empty(2, 2, dtype=torch.float64)))
        refused = [
            lambda: torch.add(a, a, out=torch.ones(2, 2, dtype=torch.int64)),
            lambda: torch.mul(a, a.clone().requires_grad_(), out=total),
            lambda: torch.add(a[:1], 1, out=a.view(4)[1:3]),
        ]
        for call in refused:
            try:
                print(call())
            except RuntimeError:
                print('refused')
    """,
    "tensors meet NumPy": """
        import numpy as np
        import torch

        x = torch.arange(6.0).reshape(2, 3)
        print(np.sqrt(x), np.add(x, 1), np.greater(x, 2), np.maximum(x, 3))
        print(x + np.ones((2, 3)), x * np.ones(3), x - np.arange(3), x == np.ones(3), np.ones(3) == x)
        print(x * np.float64(2), np.float64(2) * x, x + np.int64(1), np.float32(3) - x, np.allclose(x, x.numpy()))
        for refused in (lambda: np.ones(3) * x, lambda: x > np.ones(3), lambda: np.sqrt(x.clone().requires_grad_())):
            try:
                print(refused())
            except (RuntimeError, TypeError) as error:
                print(type(error).__name__)
        print(torch.finfo(torch.float32), torch.finfo(torch.float64), torch.finfo(torch.float32).max, torch.finfo().eps)
        print(x.ndimension(), x.get_device(), x.is_signed(), torch.tensor(1).is_nonzero(), x.shape * 2)
    """,
    "a classifier trained with an optimizer": """
        import torch
        import torch.nn.functional as F
        from torch import nn, optim

        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.conv1 = nn.Conv2d(1, 6, 3)
                self.pool = nn.MaxPool2d(2, 2)
                self.fc1 = nn.Linear(6 * 5 * 5, 16)
                self.fc2 = nn.Linear(16, 3)

            def forward(self, x):
                x = self.pool(F.relu(self.conv1(x)))
                x = torch.flatten(x, 1)
                return self.fc2(F.relu(self.fc1(x)))

        torch.manual_seed(0)
        net = Net()
        print(net)
        print([(name, tuple(p.shape)) for name, p in net.named_parameters()])
        criterion = nn.CrossEntropyLoss()
        optimizer = optim.SGD(net.parameters(), lr=0.05, momentum=0.9)
        images, labels = torch.randn(12, 1, 12, 12), torch.randint(0, 3, (12,))
        for epoch in range(5):
            optimizer.zero_grad()
            loss = criterion(net(images), labels)
            loss.backward()
            optimizer.step()
            print(epoch, f'{loss.item():.3f}')
        net.eval()
        with torch.no_grad():
            print(net(images).argmax(1))
        print(list(net.state_dict()))
    """,
}


def output_of(program: str) -> str:
    """Return what a program prints."""
    written = io.StringIO()
    with contextlib.redirect_stdout(written):
        exec(compile(program, "<primer>", "exec"), {"__name__": "__main__"})
    return written.getvalue()


def for_tinytrain(program: str) -> str:
    """Return a program with only its import lines changed."""
    program = re.sub(r"^import torch$", "import tinytrain as torch", program, flags=re.M)
    return re.sub(r"^(import|from) torch(vision)?\b(?! as)", r"\1 tinytrain", program, flags=re.M)


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_primer_prints_what_torch_prints(name):
    program = textwrap.dedent(PROGRAMS[name])
    theirs = output_of(program)
    assert theirs.count("\n") >= 3
    assert output_of(for_tinytrain(program)).splitlines() == theirs.splitlines()


def test_only_import_lines_change():
    program = textwrap.dedent(PROGRAMS["a classifier trained with an optimizer"])
    pairs = zip(program.splitlines(), for_tinytrain(program).splitlines(), strict=True)
    changed = [line for line, other in pairs if line != other]
    assert changed == ["import torch", "import torch.nn.functional as F", "from torch import nn, optim"]
