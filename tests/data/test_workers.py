"""Worker processes: the same batches, clear errors, and nothing left behind whatever ends them."""

import gc
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest

import tinytrain as tt
from tinytrain.errors import DataError, WorkerError
from tinytrain.random_streams import current_stream
from tinytrain.utils.data import DataLoader, Dataset, IterableDataset, get_worker_info

pytestmark = [pytest.mark.timeout(60), pytest.mark.skipif(os.name != "posix", reason="signals")]

SHARED_MEMORY = Path("/dev/shm")


class Pictures(Dataset):
    """Random images whose loading takes longer for some than for others."""

    def __init__(self, n=23, delay=0.0):
        self.n, self.delay = n, delay

    def __len__(self):
        return self.n

    def __getitem__(self, index):
        if index % 3 == 0:
            time.sleep(self.delay)
        image = current_stream().generator().random((4, 5, 3), dtype=np.float32)
        return {"image": tt.from_numpy(image).permute(2, 0, 1), "name": f"picture {index}", "index": index}


class Trap(Dataset):
    """Loads its indices, but one of them does something."""

    def __init__(self, where, what):
        self.where, self.what = where, what

    def __len__(self):
        return 12

    def __getitem__(self, index):
        if index == self.where:
            if self.what == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            if self.what == "hang":
                time.sleep(600)
            if self.what == "exit":
                os._exit(3)
            raise {"data": DataError("is torn", place="a.png"), "value": ValueError("bad value")}[self.what]
        return index


class Shares(IterableDataset):
    """Every worker counts its share of 0 .. n - 1; the first ones are slower."""

    def __init__(self, n, delay=0.0):
        self.n, self.delay = n, delay

    def __iter__(self):
        info = get_worker_info()
        for number in range(info.id, self.n, info.num_workers):
            time.sleep(self.delay * (info.num_workers - info.id))
            yield number


class WhoAmI(Dataset):
    def __len__(self):
        return 4

    def __getitem__(self, index):
        info = get_worker_info()
        return info.id, info.num_workers, info.seed, int(tt.randint(0, 1 << 30, ()))


class Failing(Dataset):
    def __len__(self):
        return 4

    def __getitem__(self, index):
        return index


def refuse(worker):
    raise ValueError(f"worker {worker} is not wanted")


def contents(loader):
    return [(batch["image"].numpy().copy(), batch["name"], batch["index"].tolist()) for batch in loader]


def assert_same(a, b):
    assert len(a) == len(b)
    for (image_a, *rest_a), (image_b, *rest_b) in zip(a, b, strict=True):
        assert np.array_equal(image_a, image_b)
        assert rest_a == rest_b


def segments(pid=None):
    """Return the names of the segments of a main process, by default this one."""
    gc.collect()
    pattern = f"tt-{pid or os.getpid()}-*"
    return {path.name for path in SHARED_MEMORY.glob(pattern)} if SHARED_MEMORY.is_dir() else set()


@pytest.mark.parametrize("workers", [1, 4])
def test_batches_are_the_same_to_the_bit_for_any_number_of_workers(workers):
    passes = []
    for count in (0, workers):
        tt.manual_seed(2)
        loader = DataLoader(Pictures(delay=0.01), batch_size=3, shuffle=True, num_workers=count)
        passes.append(contents(loader) + contents(loader))
    assert_same(*passes)
    assert segments() == set()


@pytest.mark.parametrize("method", ["spawn", "fork"])
def test_every_start_method_gives_the_same_batches(method):
    loaders = [
        DataLoader(Pictures(7), 2, shuffle=True, seed=1),
        DataLoader(Pictures(7), 2, shuffle=True, seed=1, num_workers=1, multiprocessing_context=method),
    ]
    assert_same(*map(contents, loaders))


def test_persistent_workers_go_on_and_forget_an_unfinished_pass():
    loader = DataLoader(Pictures(), 3, shuffle=True, seed=4, num_workers=2, persistent_workers=True)
    plain = DataLoader(Pictures(), 3, shuffle=True, seed=4)
    first = iter(loader)
    next(first)
    workers = [worker.process.pid for worker in first._source._workers]
    loader.set_epoch(1)
    plain.set_epoch(1)
    assert_same(contents(loader), contents(plain))
    assert [worker.process.pid for worker in loader._kept._source._workers] == workers


def test_batches_of_growing_size_fit():
    batches = [[0], list(range(8)), list(range(23)), [5]]
    loaders = [DataLoader(Pictures(), batch_sampler=batches, seed=0, num_workers=count) for count in (0, 1)]
    assert_same(*map(contents, loaders))


def test_without_order_everything_comes_once():
    loader = DataLoader(Pictures(delay=0.02), 4, num_workers=3, in_order=False)
    assert sorted(i for _, _, indices in contents(loader) for i in indices) == list(range(23))


def test_streams_are_divided_among_workers_in_a_fixed_order():
    found = [[b.tolist() for b in DataLoader(Shares(10), batch_size=2, num_workers=2)] for _ in range(2)]
    assert found[0] == [[0, 2], [1, 3], [4, 6], [5, 7], [8], [9]]
    assert found[1] == found[0]


class NoisyShares(IterableDataset):
    """Numbers with random numbers, divided among the workers there are."""

    def __iter__(self):
        info = get_worker_info()
        first, step = (0, 1) if info is None else (info.id, info.num_workers)
        for number in range(first, 12, step):
            yield number, current_stream().uniform()


def test_streams_draw_the_same_numbers_for_any_number_of_workers_that_take_turns():
    found = []
    for count in (0, 1, 3):
        loader = DataLoader(NoisyShares(), batch_size=2, num_workers=count, seed=6)
        rows = [tuple(row) for batch in loader for row in zip(*(c.tolist() for c in batch), strict=True)]
        found.append(sorted(rows))
    assert found[0] == found[1] == found[2]
    assert len({noise for _, noise in found[0]}) == 12


class Unequal(IterableDataset):
    """Worker i has 2 + 5 i samples."""

    def __iter__(self):
        info = get_worker_info()
        for number in range(2 + 5 * info.id):
            time.sleep(0.02 * (info.id == 2))
            yield 100 * info.id + number


def test_workers_whose_streams_end_early_leave_the_others_in_their_turns():
    expected = [0, 100, 200, 1, 101, 201, 102, 202, 103, 203, 104, 204, 105, 205, 106, *range(206, 212)]
    for _ in range(3):
        assert [batch.item() for batch in DataLoader(Unequal(), num_workers=3)] == expected


def test_a_persistent_stream_begins_again():
    loader = DataLoader(Shares(5), batch_size=2, num_workers=2, persistent_workers=True)
    first = [b.tolist() for b in loader]
    assert [b.tolist() for b in loader] == first == [[0, 2], [1, 3], [4]]


def test_a_worker_knows_who_it_is_and_has_its_own_seed():
    loader = DataLoader(WhoAmI(), batch_size=2, num_workers=2, generator=tt.Generator().manual_seed(0))
    rows = [tuple(row) for batch in loader for row in zip(*(c.tolist() for c in batch), strict=True)]
    assert {(ident, count) for ident, count, _, _ in rows} == {(0, 2), (1, 2)}
    seeds = {ident: seed for ident, _, seed, _ in rows}
    assert seeds[1] == seeds[0] + 1
    assert len({number for *_, number in rows}) == 4
    assert get_worker_info() is None


def test_an_error_in_a_worker_is_raised_here_with_its_traceback_and_loading_goes_on():
    batches = iter(DataLoader(Trap(2, "value"), batch_size=2, num_workers=1))
    assert next(batches).tolist() == [0, 1]
    with pytest.raises(ValueError, match="bad value") as caught:
        next(batches)
    assert "in __getitem__" in str(caught.value.__cause__)
    assert next(batches).tolist() == [4, 5]


def test_a_data_error_keeps_its_place():
    with pytest.raises(DataError) as caught:
        list(DataLoader(Trap(0, "data"), num_workers=1))
    assert (caught.value.place, caught.value.reason) == ("a.png", "is torn")


def test_damaged_samples_are_skipped_in_workers_too():
    loader = DataLoader(Trap(3, "data"), batch_size=2, num_workers=2, skip_damaged=True)
    assert [batch.tolist() for batch in loader][1] == [2]
    assert loader.skipped == [(3, "a.png: is torn")]


def test_an_error_of_worker_init_fn_is_raised_here():
    with pytest.raises(ValueError, match="worker 0 is not wanted"):
        list(DataLoader(Failing(), num_workers=1, worker_init_fn=refuse))


@pytest.mark.parametrize(("what", "how"), [("kill", "killed by signal: SIGKILL"), ("exit", "with exit code 3")])
def test_a_dead_worker_is_an_error_that_names_what_it_was_doing(what, how):
    start = time.monotonic()
    with pytest.raises(RuntimeError, match=rf"{how}; it was loading sample 1 \(index 5\) of batch 2"):
        list(DataLoader(Trap(5, what), batch_size=2, num_workers=2))
    assert time.monotonic() - start < 5
    assert segments() == set()


def test_what_cannot_be_sent_to_a_worker_is_told_with_a_way_out():
    with pytest.raises(TypeError, match=r"cannot be sent to a worker process: .*lambda.* use num_workers=0"):
        iter(DataLoader(Pictures(4), num_workers=1, collate_fn=lambda samples: samples))


def test_a_script_without_a_main_guard_is_told_so(tmp_path):
    path = tmp_path / "script.py"
    path.write_text("from tinytrain.utils.data import DataLoader\nprint(list(DataLoader(range(3), num_workers=1)))")
    root = str(Path(tt.__file__).parent.parent)
    environment = {**os.environ, "PYTHONPATH": root}
    done = subprocess.run([sys.executable, str(path)], env=environment, capture_output=True, text=True, timeout=30)
    assert "exited unexpectedly with exit code 1; it was starting" in done.stderr.splitlines()[-1]
    assert "if __name__ == '__main__':" in done.stderr.splitlines()[-1]


def test_an_idle_worker_that_is_killed_is_noticed():
    loader = DataLoader(Pictures(200), 2, num_workers=1)
    batches = iter(loader)
    next(batches)
    os.kill(batches._source._workers[0].process.pid, signal.SIGKILL)
    start = time.monotonic()
    with pytest.raises(RuntimeError, match="killed by signal: SIGKILL"):
        for _ in batches:
            pass
    assert time.monotonic() - start < 5


def test_after_a_killed_worker_a_new_pass_gives_the_same_batches():
    loader = DataLoader(Pictures(40), 2, seed=3, num_workers=2, persistent_workers=True)
    batches = iter(loader)
    os.kill(batches._source._workers[1].process.pid, signal.SIGKILL)
    with pytest.raises(RuntimeError, match="killed by signal"):
        list(batches)
    loader.set_epoch(0)
    assert_same(contents(loader), contents(DataLoader(Pictures(40), 2, seed=3)))


def test_a_worker_that_is_killed_between_two_passes_is_an_error():
    loader = DataLoader(Pictures(8), 2, num_workers=2, persistent_workers=True)
    batches = iter(loader)
    list(batches)
    victim = batches._source._workers[0].process
    os.kill(victim.pid, signal.SIGKILL)
    victim.join()
    with pytest.raises(WorkerError, match=r"killed by signal: SIGKILL; .*num_workers=0"):
        list(loader)
    assert segments() == set()


def test_a_hung_worker_hits_the_timeout_with_the_name_of_its_sample():
    loader = DataLoader(Trap(5, "hang"), batch_size=2, num_workers=2, timeout=4.0)
    with pytest.raises(RuntimeError, match=r"timed out after 4.0 seconds; it was loading sample 1 \(index 5\)"):
        list(loader)
    assert segments() == set()


def test_leaving_early_leaves_nothing_behind():
    batches = iter(DataLoader(Pictures(delay=0.2), 2, num_workers=2))
    next(batches)
    pids = [worker.process.pid for worker in batches._source._workers]
    del batches
    assert all(not is_alive(pid) for pid in pids)
    assert segments() == set()


SCRIPT = """
    import os, signal, sys, time
    sys.path.insert(0, {folder!r})
    from test_workers import Pictures, Trap
    from tinytrain.utils.data import DataLoader

    if __name__ == "__main__":
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs inherit that it is ignored
        dataset = {dataset}
        batches = iter(DataLoader(dataset, 2, num_workers=2))
        next(batches)
        print(*(worker.process.pid for worker in batches._source._workers), flush=True)
        {end}
"""


def run_script(tmp_path, end, dataset="Pictures(1000, delay=0.05)"):
    """Start a script that prints its workers' ids and then ends in the given way."""
    path = tmp_path / "script.py"
    path.write_text(textwrap.dedent(SCRIPT.format(folder=str(Path(__file__).parent), dataset=dataset, end=end)))
    root = str(Path(tt.__file__).parent.parent)
    process = subprocess.Popen(
        [sys.executable, str(path)],
        env={**os.environ, "PYTHONPATH": root},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    return process, [int(word) for word in process.stdout.readline().split()]


def is_alive(pid):
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def assert_gone(process, pids):
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline and (any(map(is_alive, pids)) or segments(process.pid)):
        time.sleep(0.05)
    assert not any(map(is_alive, pids))
    assert segments(process.pid) == set()


def test_ctrl_c_leaves_no_process_and_no_segment(tmp_path):
    process, pids = run_script(tmp_path, "[None for _ in batches]")
    time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=20)
    assert "KeyboardInterrupt" in errors
    assert "resource_tracker" not in errors
    assert_gone(process, pids)


@pytest.mark.parametrize("dataset", ["Pictures(1000, delay=0.05)", "Trap(4, 'hang')"])
def test_a_killed_main_process_leaves_no_process_and_no_segment(tmp_path, dataset):
    process, pids = run_script(tmp_path, "[None for _ in batches]", dataset)
    time.sleep(0.3)
    process.kill()
    process.wait(timeout=20)
    assert_gone(process, pids)
    process.communicate(timeout=20)


def test_a_crash_leaves_no_process_and_no_segment(tmp_path):
    process, pids = run_script(tmp_path, "raise SystemError('bang')")
    _, errors = process.communicate(timeout=20)
    assert "bang" in errors
    assert_gone(process, pids)
