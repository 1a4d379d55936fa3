"""Residual networks for ImageNet, with their ResNeXt and wide variants.

Sources: He et al., "Deep Residual Learning for Image Recognition" (2016), table 1; the stride of a bottleneck is on its
3x3 convolution (Goyal et al., 2017). Xie et al., "Aggregated Residual Transformations for Deep Neural Networks" (2017).
Zagoruyko and Komodakis, "Wide Residual Networks" (2016).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tinytrain import nn
from tinytrain.models.blocks import Layer, initialise_fan_out
from tinytrain.models.registry import architecture
from tinytrain.nn.rows import in_row
from tinytrain.ranges import Count
from tinytrain.tensor import Tensor


class BasicBlock(nn.Module):
    """Two 3x3 convolutions with a shortcut.

    Args:
        inplanes: channels of the input.
        planes: channels of the output.
        stride: of the first convolution, in pixels.
        downsample: brings the input to the shape of the output; None where it has it.
        groups: 1; for `Bottleneck` only.
        base_width: 64; for `Bottleneck` only.
        dilation: 1; for `Bottleneck` only.
        norm_layer: makes a normalisation from a number of channels.

    Raises:
        ValueError: an argument that is for `Bottleneck` only.
    """

    expansion = 1

    def __init__(
        self,
        inplanes: int,
        planes: int,
        stride: int = 1,
        downsample: nn.Module | None = None,
        groups: int = 1,
        base_width: int = 64,
        dilation: int = 1,
        norm_layer: Layer = nn.BatchNorm2d,
    ):
        super().__init__()
        if groups != 1 or base_width != 64:
            raise ValueError(f"BasicBlock: only groups=1 and base_width=64 are possible; got {groups} and {base_width}")
        if dilation > 1:
            raise NotImplementedError(f"BasicBlock: only dilation=1 is possible; got {dilation}")
        self.conv1 = _conv3x3(inplanes, planes, stride)
        self.bn1 = norm_layer(planes)
        self.relu = nn.ReLU()
        self.conv2 = _conv3x3(planes, planes)
        self.bn2 = norm_layer(planes)
        self.downsample = downsample

    def forward(self, input: Tensor) -> Tensor:
        """Return the block's output."""
        identity = input if self.downsample is None else self.downsample(input)
        x = in_row(input, self.conv1, self.bn1, self.relu, self.conv2, self.bn2)
        return self.relu(x + identity)


class Bottleneck(nn.Module):
    """A 3x3 convolution between two of 1x1 that narrow and widen, with a shortcut.

    Args:
        inplanes: channels of the input.
        planes: channels of the output, divided by 4.
        stride: of the 3x3 convolution, in pixels.
        downsample: brings the input to the shape of the output; None where it has it.
        groups: of the 3x3 convolution.
        base_width: channels of a group where `planes` is 64.
        dilation: of the 3x3 convolution, in pixels.
        norm_layer: makes a normalisation from a number of channels.
    """

    expansion = 4

    def __init__(
        self,
        inplanes: int,
        planes: int,
        stride: int = 1,
        downsample: nn.Module | None = None,
        groups: int = 1,
        base_width: int = 64,
        dilation: int = 1,
        norm_layer: Layer = nn.BatchNorm2d,
    ):
        super().__init__()
        width = planes * base_width // 64 * groups
        self.conv1 = nn.Conv2d(inplanes, width, kernel_size=1, bias=False)
        self.bn1 = norm_layer(width)
        self.conv2 = _conv3x3(width, width, stride, groups, dilation)
        self.bn2 = norm_layer(width)
        self.conv3 = nn.Conv2d(width, planes * self.expansion, kernel_size=1, bias=False)
        self.bn3 = norm_layer(planes * self.expansion)
        self.relu = nn.ReLU()
        self.downsample = downsample

    def forward(self, input: Tensor) -> Tensor:
        """Return the block's output."""
        identity = input if self.downsample is None else self.downsample(input)
        x = in_row(input, self.conv1, self.bn1, self.relu, self.conv2, self.bn2, self.relu, self.conv3, self.bn3)
        return self.relu(x + identity)


class ResNet(nn.Module):
    """A 7x7 convolution, four stages of residual blocks, a global average, a linear head.

    Args:
        block: `BasicBlock` or `Bottleneck`.
        layers: blocks of each stage.
        num_classes: size of the output.
        zero_init_residual: whether every block begins as its shortcut: its last normalisation scales by 0.
        groups: of the 3x3 convolutions.
        width_per_group: channels of a group in the first stage.
        replace_stride_with_dilation: for each of the last three stages, whether its maps keep their size.
        norm_layer: makes a normalisation from a number of channels; None: `BatchNorm2d`.
        in_channels: channels of the images.

    Raises:
        ValueError: `replace_stride_with_dilation` has not three entries.
    """

    def __init__(
        self,
        block: type[BasicBlock] | type[Bottleneck],
        layers: Sequence[int],
        num_classes: int = 1000,
        zero_init_residual: bool = False,
        groups: Count = 1,
        width_per_group: Count = 64,
        replace_stride_with_dilation: Sequence[bool] | None = None,
        norm_layer: Callable[..., nn.Module] | None = None,
        in_channels: int = 3,
    ):
        super().__init__()
        dilate = replace_stride_with_dilation or (False, False, False)
        if len(dilate) != 3:
            raise ValueError(f"ResNet: `replace_stride_with_dilation` must have 3 entries; got {dilate}")
        self._norm_layer = norm_layer or nn.BatchNorm2d
        self._block = block
        self.groups, self.base_width = groups, width_per_group
        self.inplanes, self.dilation = 64, 1
        self.conv1 = nn.Conv2d(in_channels, 64, kernel_size=7, stride=2, padding=3, bias=False)
        self.bn1 = self._norm_layer(64)
        self.relu = nn.ReLU()
        self.maxpool = nn.MaxPool2d(kernel_size=3, stride=2, padding=1)
        self.layer1 = self._make_stage(64, layers[0], 1, False)
        self.layer2 = self._make_stage(128, layers[1], 2, dilate[0])
        self.layer3 = self._make_stage(256, layers[2], 2, dilate[1])
        self.layer4 = self._make_stage(512, layers[3], 2, dilate[2])
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(512 * block.expansion, num_classes)
        initialise_fan_out(self)
        if zero_init_residual:
            for module in self.modules():
                if isinstance(module, (BasicBlock, Bottleneck)):
                    last = module.bn3 if isinstance(module, Bottleneck) else module.bn2
                    nn.init.zeros_(last.weight)

    def forward(self, input: Tensor) -> Tensor:
        """Return logits (n, num_classes) of images (n, in_channels, h, w)."""
        x = self.maxpool(in_row(input, self.conv1, self.bn1, self.relu))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(self.avgpool(x).flatten(1))

    def _make_stage(self, planes: int, depth: int, stride: int, dilate: bool) -> nn.Sequential:
        """Return a stage; its first block changes channels and size, and a dilated stage dilates after it."""
        first_dilation = self.dilation
        if dilate:
            self.dilation *= stride
            stride = 1
        width = planes * self._block.expansion
        downsample = None
        if stride != 1 or self.inplanes != width:
            downsample = nn.Sequential(
                nn.Conv2d(self.inplanes, width, kernel_size=1, stride=stride, bias=False), self._norm_layer(width)
            )
        shared = (self.groups, self.base_width)
        blocks = [self._block(self.inplanes, planes, stride, downsample, *shared, first_dilation, self._norm_layer)]
        self.inplanes = width
        for _ in range(1, depth):
            blocks.append(self._block(width, planes, 1, None, *shared, self.dilation, self._norm_layer))
        return nn.Sequential(*blocks)


def _conv3x3(inplanes: int, planes: int, stride: int = 1, groups: int = 1, dilation: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inplanes, planes, 3, stride, padding=dilation, dilation=dilation, groups=groups, bias=False)


_50, _101, _152 = (3, 4, 6, 3), (3, 4, 23, 3), (3, 8, 36, 3)

resnet18 = architecture("resnet18", ResNet, "ResNet with 18 layers.", block=BasicBlock, layers=(2, 2, 2, 2))
resnet34 = architecture("resnet34", ResNet, "ResNet with 34 layers.", block=BasicBlock, layers=(3, 4, 6, 3))
resnet50 = architecture("resnet50", ResNet, "ResNet with 50 layers.", block=Bottleneck, layers=_50)
resnet101 = architecture("resnet101", ResNet, "ResNet with 101 layers.", block=Bottleneck, layers=_101)
resnet152 = architecture("resnet152", ResNet, "ResNet with 152 layers.", block=Bottleneck, layers=_152)


def _resnext(name: str, layers: Sequence[int], groups: int, width: int) -> Callable[..., ResNet]:
    summary = f"ResNeXt with {sum(layers) * 3 + 2} layers, {groups} groups of {width} channels."
    return architecture(name, ResNet, summary, block=Bottleneck, layers=layers, groups=groups, width_per_group=width)


resnext50_32x4d = _resnext("resnext50_32x4d", _50, 32, 4)
resnext101_32x8d = _resnext("resnext101_32x8d", _101, 32, 8)
resnext101_64x4d = _resnext("resnext101_64x4d", _101, 64, 4)


def _wide(name: str, layers: Sequence[int]) -> Callable[..., ResNet]:
    summary = f"ResNet with {sum(layers) * 3 + 2} layers, its bottlenecks twice as wide."
    return architecture(name, ResNet, summary, block=Bottleneck, layers=layers, width_per_group=128)


wide_resnet50_2 = _wide("wide_resnet50_2", _50)
wide_resnet101_2 = _wide("wide_resnet101_2", _101)
