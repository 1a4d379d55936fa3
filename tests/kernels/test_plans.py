"""The choice among plans: the fastest by the timer, and the same one from then on, whoever asks."""

from __future__ import annotations

import json
import os
import threading
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.kernels.hopper import described_device
from tinytrain.kernels.cuda.cudnn import Planner
from tinytrain.kernels.cuda.frontend import build_candidates, build_graph, describe
from tinytrain.kernels.cuda.plans import MAX_LAUNCHES, NUM_SAMPLES, NoPlanError, PlanCache, fastest

ENVIRONMENT = {"device": "NVIDIA H200", "cuDNN": "9.19.1", "frontend": "1.26.0"}
OPERATION = "fprop float32 nhwc x=1x2x3x3"


class Timer:
    """A stub of the device's timer: says for each plan how long its launches take, and counts what it is asked.

    Args:
        seconds: for each plan the times of its samples in turn, the last one for all further samples; None where the
            plan cannot run.
    """

    def __init__(self, seconds: dict[str, list[float] | None]):
        self.seconds = {name: times and list(times) for name, times in seconds.items()}
        self.launches: dict[str, list[int]] = {name: [] for name in seconds}

    def __call__(self, name: str, launches: int) -> float:
        self.launches[name].append(launches)
        times = self.seconds[name]
        if times is None:
            raise NoPlanError("out of memory")
        return times.pop(0) if len(times) > 1 else times[0]


def choice(seconds: dict[str, list[float] | None]) -> tuple[str, float]:
    return fastest(list(seconds), Timer(seconds))


def test_the_fastest_plan_is_chosen():
    assert choice({"a": [3e-3], "b": [1e-3], "c": [2e-3]}) == ("b", 1e-3)


def test_the_first_of_equals_is_chosen():
    assert choice({"a": [2e-3], "b": [1e-3], "c": [1e-3]})[0] == "b"


def test_the_first_launch_does_not_count():
    assert choice({"a": [1.0, 1e-3], "b": [2e-3]}) == ("a", 1e-3)


def test_single_outliers_do_not_decide():
    slow_once = [1e-3, 1e-3, 1e-3, 1e-3, 9e-3, 1e-3]
    fast_once = [2e-3, 2e-3, 2e-3, 2e-3, 1e-6, 2e-3]
    assert choice({"fast once": fast_once, "slow once": slow_once}) == ("slow once", 1e-3)


def test_a_hopeless_plan_is_not_timed_again():
    timer = Timer({"a": [1e-3], "b": [5.0], "c": [1.5e-3]})
    assert fastest(["a", "b", "c"], timer)[0] == "a"
    assert {name: len(each) for name, each in timer.launches.items()} == {
        "a": 2 + NUM_SAMPLES,
        "b": 2,
        "c": 2 + NUM_SAMPLES,
    }


def test_short_plans_are_launched_several_times_a_sample():
    timer = Timer({"short": [1e-6], "middle": [1e-4]})
    fastest(["short"], timer)
    assert timer.launches["short"] == [1, 1, *[MAX_LAUNCHES] * NUM_SAMPLES]
    fastest(["middle"], timer)
    assert timer.launches["middle"] == [1, 1, *[2] * NUM_SAMPLES]


def test_plans_that_cannot_run_are_passed_over():
    assert choice({"a": None, "b": [2e-3], "c": None})[0] == "b"
    with pytest.raises(NoPlanError, match="none of 2 plans can run"):
        choice({"a": None, "b": None})


@pytest.mark.filterwarnings("error")
def test_a_choice_is_found_by_the_next_program(tmp_path):
    assert PlanCache(ENVIRONMENT, tmp_path).find(OPERATION) is None
    assert PlanCache(ENVIRONMENT, tmp_path).keep(OPERATION, "eng1", 1e-5) == "eng1"
    assert PlanCache(ENVIRONMENT, tmp_path).find(OPERATION) == "eng1"


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("changed", ENVIRONMENT)
def test_a_choice_holds_for_its_device_and_versions_alone(tmp_path, changed):
    PlanCache(ENVIRONMENT, tmp_path).keep(OPERATION, "eng1", 1e-5)
    assert PlanCache({**ENVIRONMENT, changed: "other"}, tmp_path).find(OPERATION) is None


@pytest.mark.filterwarnings("error")
def test_a_choice_holds_for_its_operation_alone(tmp_path):
    cache = PlanCache(ENVIRONMENT, tmp_path)
    cache.keep(OPERATION, "eng1", 1e-5)
    assert cache.find(OPERATION.replace("float32", "float32 tf32")) is None


def test_choices_lie_in_the_users_cache_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("TINYTRAIN_HOME", str(tmp_path))
    PlanCache(ENVIRONMENT).keep(OPERATION, "eng1", 1.234e-5)
    (path,) = tmp_path.rglob("*.json")
    assert path.parent == tmp_path / "plans" / "nvidia-h200-9.19.1-1.26.0"
    assert json.loads(path.read_text()) == {
        "environment": ENVIRONMENT,
        "operation": OPERATION,
        "plan": "eng1",
        "microseconds": 12.34,
    }


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "cannot be read"),
        (b'{"plan": "eng', "cannot be read"),
        (b"\xff\xfe\x00", "cannot be read"),
        (b"[" * 100_000, "cannot be read"),
        (b"[]", "expected an object with the name of a `plan`"),
        (b'{"plan": 3}', "expected an object with the name of a `plan`"),
        (b'{"plan": "eng7"}', "tells of something else"),
        (json.dumps({"environment": {}, "operation": OPERATION, "plan": "x"}).encode(), "tells of something else"),
    ],
)
def test_a_damaged_or_foreign_file_is_passed_over_and_written_anew(tmp_path, content, complaint):
    cache = PlanCache(ENVIRONMENT, tmp_path)
    cache.keep(OPERATION, "eng1", 1e-5)
    (path,) = tmp_path.rglob("*.json")
    path.write_bytes(content)
    with pytest.warns(UserWarning, match=complaint) as caught:
        assert cache.find(OPERATION) is None
    assert str(path) in str(caught[0].message)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert cache.keep(OPERATION, "eng2", 1e-5) == "eng2"
        assert cache.find(OPERATION) == "eng2"


def test_the_first_to_choose_decides(tmp_path):
    assert PlanCache(ENVIRONMENT, tmp_path).keep(OPERATION, "eng1", 1e-5) == "eng1"
    assert PlanCache(ENVIRONMENT, tmp_path).keep(OPERATION, "eng2", 1e-6) == "eng1"


def test_many_that_choose_at_once_agree(tmp_path):
    chosen, start = [], threading.Barrier(8)

    def choose(name: str) -> None:
        start.wait()
        chosen.append(PlanCache(ENVIRONMENT, tmp_path).keep(OPERATION, name, 1e-5))

    threads = [threading.Thread(target=choose, args=(f"eng{i}",)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(chosen) == 8
    assert set(chosen) == {PlanCache(ENVIRONMENT, tmp_path).find(OPERATION)}


def test_a_choice_that_is_gone_is_replaced(tmp_path):
    cache = PlanCache(ENVIRONMENT, tmp_path)
    cache.keep(OPERATION, "eng1", 1e-5)
    assert cache.keep(OPERATION, "eng2", 1e-5, instead_of="eng1") == "eng2"
    assert cache.find(OPERATION) == "eng2"


def test_a_file_system_without_hard_links_will_do(tmp_path, monkeypatch):
    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    cache = PlanCache(ENVIRONMENT, tmp_path)
    assert cache.keep(OPERATION, "eng1", 1e-5) == "eng1"
    assert cache.keep(OPERATION, "eng2", 1e-5) == "eng1"
    assert [path.name for path in cache.folder.iterdir()] == [path.name for path in tmp_path.rglob("*.json")]


def test_a_write_that_fails_leaves_nothing_and_is_said_once(tmp_path, monkeypatch):
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "link", fail)
    monkeypatch.setattr(os, "replace", fail)
    cache = PlanCache(ENVIRONMENT, tmp_path)
    with pytest.warns(UserWarning, match=r"cannot be written .*No space left.*TINYTRAIN_HOME names another folder"):
        assert cache.keep(OPERATION, "eng1", 1e-5) == "eng1"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert cache.keep("another", "eng1", 1e-5) == "eng1"
    assert list(cache.folder.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_said(tmp_path):
    (tmp_path / "file").touch()
    with pytest.warns(UserWarning, match="cannot be written"):
        assert PlanCache(ENVIRONMENT, tmp_path / "file").keep(OPERATION, "eng1", 1e-5) == "eng1"


WHAT = describe("fprop", (16, 64, 56, 56), (64, 64, 3, 3), (1, 1, 1, 1, 1, 1, 1, 1, 1), "float16")


@pytest.fixture
def planner_of(tmp_path: Path) -> Callable[[], Planner]:
    """Return a function that makes a planner with an empty memory over the same files, as another run would."""
    device = described_device()
    return lambda: Planner(PlanCache(ENVIRONMENT, tmp_path), 1 << 30, **device)


def test_every_run_computes_with_the_plan_that_was_the_fastest_in_the_first(planner_of):
    third = list(build_candidates(build_graph(WHAT, 1 << 30, **described_device())))[2]
    planner = planner_of()
    assert planner.known(WHAT) is None
    chosen = planner.choose(WHAT, lambda plan, _: 1e-3 if plan.name == third else 2e-3)
    assert chosen.name == third
    assert planner.known(WHAT) is chosen
    assert planner_of().choose(WHAT, never).name == third


def test_a_kept_plan_that_the_library_does_not_list_is_chosen_anew(planner_of):
    planner_of().cache.keep(str(WHAT), "eng999", 1e-5)
    name = planner_of().choose(WHAT, lambda plan, _: 1e-3).name
    assert name != "eng999"
    assert planner_of().choose(WHAT, never).name == name


def test_that_there_is_no_plan_is_remembered(planner_of):
    planner = planner_of()

    def fail(*_: object) -> float:
        raise NoPlanError("out of memory")

    with pytest.raises(NoPlanError, match="none of 12 plans can run"):
        planner.choose(WHAT, fail)
    with pytest.raises(NoPlanError, match="none of 12 plans can run"):
        planner.known(WHAT)
    assert planner_of().known(WHAT) is None


def never(*_: object) -> float:
    raise AssertionError("a plan was timed")
