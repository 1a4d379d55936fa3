"""ShuffleNetV2.

Source: Ma et al., "ShuffleNet V2: Practical Guidelines for Efficient CNN Architecture Design" (2018), table 5.
"""

from __future__ import annotations

from collections.abc import Sequence

from tinytrain import nn
from tinytrain.models.registry import architecture
from tinytrain.nn import functional as F
from tinytrain.ops.joining import cat
from tinytrain.tensor import Tensor

_REPEATS = (4, 8, 4)


class InvertedResidual(nn.Module):
    """One half of the channels passes through convolutions, the other as it is; then they are interleaved.

    With a stride of 2, both halves come from all channels, through convolutions of their own.

    Args:
        inp: channels of the input.
        oup: channels of the output, even.
        stride: 1 or 2 pixels.

    Raises:
        ValueError: the stride is 1 and the channels differ.
    """

    def __init__(self, inp: int, oup: int, stride: int):
        super().__init__()
        half = oup // 2
        if stride == 1 and inp != 2 * half:
            raise ValueError(f"InvertedResidual: `inp` and `oup` must be equal and even at stride 1; got {inp}, {oup}")
        self.stride = stride
        self.branch1 = nn.Sequential()
        if stride > 1:
            self.branch1 = nn.Sequential(
                *_depthwise(inp, stride), nn.Conv2d(inp, half, 1, bias=False), nn.BatchNorm2d(half), nn.ReLU()
            )
        self.branch2 = nn.Sequential(
            nn.Conv2d(inp if stride > 1 else half, half, 1, bias=False),
            nn.BatchNorm2d(half),
            nn.ReLU(),
            *_depthwise(half, stride),
            nn.Conv2d(half, half, 1, bias=False),
            nn.BatchNorm2d(half),
            nn.ReLU(),
        )

    def forward(self, input: Tensor) -> Tensor:
        """Return the block's output."""
        if self.stride == 1:
            kept, changed = input.chunk(2, dim=1)
            both = cat([kept, self.branch2(changed)], 1)
        else:
            both = cat([self.branch1(input), self.branch2(input)], 1)
        return F.channel_shuffle(both, 2)


class ShuffleNetV2(nn.Module):
    """A 3x3 convolution, pooling, three stages, a 1x1 convolution, a global average, a linear head.

    Args:
        stages_repeats: blocks of each stage.
        stages_out_channels: channels of the first convolution, the three stages and the last convolution.
        num_classes: size of the output.
        in_channels: channels of the images.

    Raises:
        ValueError: there are not three stages and five widths.
    """

    def __init__(
        self,
        stages_repeats: Sequence[int],
        stages_out_channels: Sequence[int],
        num_classes: int = 1000,
        in_channels: int = 3,
    ):
        super().__init__()
        if len(stages_repeats) != 3 or len(stages_out_channels) != 5:
            raise ValueError(
                "ShuffleNetV2: `stages_repeats` must have 3 entries and `stages_out_channels` 5; "
                f"got {len(stages_repeats)} and {len(stages_out_channels)}"
            )
        channels, *widths, last = stages_out_channels
        self.conv1 = _conv(in_channels, channels, 3, 2)
        self.maxpool = nn.MaxPool2d(kernel_size=3, stride=2, padding=1)
        stages: list[nn.Sequential] = []
        for repeats, width in zip(stages_repeats, widths, strict=True):
            first = InvertedResidual(channels, width, 2)
            stages.append(nn.Sequential(first, *(InvertedResidual(width, width, 1) for _ in range(repeats - 1))))
            channels = width
        self.stage2, self.stage3, self.stage4 = stages
        self.conv5 = _conv(channels, last, 1, 1)
        self.fc = nn.Linear(last, num_classes)

    def forward(self, input: Tensor) -> Tensor:
        """Return logits (n, num_classes) of images (n, in_channels, h, w)."""
        x = self.stage4(self.stage3(self.stage2(self.maxpool(self.conv1(input)))))
        return self.fc(self.conv5(x).mean([2, 3]))


def _conv(channels: int, width: int, kernel_size: int, stride: int) -> nn.Sequential:
    conv = nn.Conv2d(channels, width, kernel_size, stride, kernel_size // 2, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(width), nn.ReLU())


def _depthwise(channels: int, stride: int) -> list[nn.Module]:
    conv = nn.Conv2d(channels, channels, 3, stride, padding=1, groups=channels, bias=False)
    return [conv, nn.BatchNorm2d(channels)]


shufflenet_v2_x0_5 = architecture(
    "shufflenet_v2_x0_5",
    ShuffleNetV2,
    "ShuffleNetV2 of half the width.",
    stages_repeats=_REPEATS,
    stages_out_channels=(24, 48, 96, 192, 1024),
)
shufflenet_v2_x1_0 = architecture(
    "shufflenet_v2_x1_0",
    ShuffleNetV2,
    "ShuffleNetV2.",
    stages_repeats=_REPEATS,
    stages_out_channels=(24, 116, 232, 464, 1024),
)
shufflenet_v2_x1_5 = architecture(
    "shufflenet_v2_x1_5",
    ShuffleNetV2,
    "ShuffleNetV2 of 1.5 times the width.",
    stages_repeats=_REPEATS,
    stages_out_channels=(24, 176, 352, 704, 1024),
)
shufflenet_v2_x2_0 = architecture(
    "shufflenet_v2_x2_0",
    ShuffleNetV2,
    "ShuffleNetV2 of twice the width.",
    stages_repeats=_REPEATS,
    stages_out_channels=(24, 244, 488, 976, 2048),
)
