"""Measured times are of the work that was asked for."""

from __future__ import annotations

from tinytrain.device import device as Device
from tinytrain.inspection.convolution import Convolution
from tinytrain.inspection.timing import measure, measure_peak


def test_more_work_takes_more_time(device):
    where = Device(device)
    small = Convolution(4, 4, (3, 3), (8, 8), padding=(1, 1))
    large = Convolution(64, 64, (3, 3), (48, 48), padding=(1, 1))
    times = [measure(c, batch=8, device=where, seconds=0.02) for c in (small, large)]
    assert 0 < times[0].forward < times[1].forward
    assert 0 < times[0].backward < times[1].backward
    assert times[0].batch == 8


def test_the_peak_is_one_that_machines_have(device):
    peak = measure_peak(Device(device), seconds=0.02)
    assert 1e8 < peak.flops < 1e16
    assert 1e8 < peak.bytes < 1e14
