"""Checkpoints: every bit is checked, the last two are kept, and what may change between them changes as expected."""

from __future__ import annotations

import os
import signal
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

import tinytrain as tt
from tinytrain import nn
from tinytrain.errors import Interrupted, StorageError, UsageError, WeightsError
from tinytrain.optim import SGD, Adam
from tinytrain.random_streams import current_stream
from tinytrain.training import Events, RunFolder, Scores, train
from tinytrain.training.checkpoint_file import read_checkpoint
from tinytrain.utils.data import DataLoader, Dataset
from tinytrain.weights import load_bundle

from .toys import Listener, StopAt, experiment, network, run


def checkpoints(folder: Path) -> list[Path]:
    return sorted((folder / "checkpoint").glob("*.safetensors"))


@pytest.fixture
def stopped(tmp_path: Path) -> Path:
    """Return the folder of a run that was stopped in its second epoch, after step 4 of 6."""
    with pytest.raises(Interrupted):
        run(experiment(), tmp_path / "run", events=StopAt(2, 4))
    return tmp_path / "run"


def test_a_checkpoint_cut_anywhere_is_noticed(stopped: Path):
    path = checkpoints(stopped)[-1]
    content = path.read_bytes()
    for end in range(0, len(content), 97):
        path.write_bytes(content[:end])
        with pytest.raises(WeightsError, match="the checkpoint is damaged"):
            read_checkpoint(path)


def test_the_last_two_are_kept_and_numbers_go_on(tmp_path: Path):
    run(experiment(epochs=1, checkpoint_steps=2), tmp_path)
    # One at the beginning, after steps 2, 4 and 6, and at the end of the epoch.
    assert [path.name for path in checkpoints(tmp_path)] == ["000004.safetensors", "000005.safetensors"]


@pytest.mark.parametrize(("minutes", "expected"), [(0.0, 1 + 6 + 1), (60.0, 1 + 1), (None, 1 + 1)])
def test_there_is_a_checkpoint_every_so_many_minutes(tmp_path: Path, minutes: float | None, expected: int):
    run(experiment(epochs=1, checkpoint_minutes=minutes), tmp_path)
    assert int(checkpoints(tmp_path)[-1].stem) == expected


def test_a_damaged_newest_one_leads_to_the_one_before_with_a_warning(stopped: Path, tmp_path: Path):
    whole = run(experiment(), tmp_path / "whole")
    newest = checkpoints(stopped)[-1]
    newest.write_bytes(newest.read_bytes()[:-1])
    listener = Listener()
    resumed = run(experiment(), stopped, resume=True, events=listener)
    assert listener.messages[0] == (
        f"warning: {newest}: the checkpoint is damaged: its checksum does not match its contents. "
        f"It is kept as {newest.name}.damaged; going on from the checkpoint before it"
    )
    assert resumed.summary["weights_sha256"] == whole.summary["weights_sha256"]
    assert newest.with_name(f"{newest.name}.damaged").exists()


def test_when_all_are_damaged_nothing_is_guessed(stopped: Path):
    for path in checkpoints(stopped):
        path.write_bytes(b"")
    with pytest.raises(WeightsError, match=r"no checkpoint is whole; .*\. Begin a new run without --resume"):
        run(experiment(), stopped, resume=True)


def test_a_run_without_checkpoints_says_so(stopped: Path):
    for path in checkpoints(stopped):
        path.unlink()
    with pytest.raises(StorageError, match="the run has no checkpoint to go on from"):
        run(experiment(), stopped, resume=True)


def test_a_place_within_an_epoch_is_told(stopped: Path):
    listener = Listener()
    run(experiment(), stopped, resume=True, events=listener)
    assert listener.messages == ["going on in epoch 2 after step 4 of 6"]


def test_best_weights_are_put_back_as_they_were_chosen(stopped: Path, tmp_path: Path):
    whole = run(experiment(), tmp_path / "whole")
    (stopped / "best.safetensors").write_bytes(b"")
    resumed = run(experiment(), stopped, resume=True)
    assert resumed.summary["val"] == whole.summary["val"]
    best, expected = (load_bundle(folder).weights for folder in (stopped, tmp_path / "whole"))
    assert best.keys() == expected.keys()
    assert all(np.array_equal(best[name], expected[name]) for name in best)


def test_an_extended_run_follows_the_longer_schedule_from_where_it_is(stopped: Path, tmp_path: Path):
    with pytest.raises(Interrupted):
        run(experiment(schedule="cosine"), tmp_path / "short", events=StopAt(2, 4))
    longer, whole = Listener(), Listener()
    resumed = run(experiment(schedule="cosine", epochs=5), tmp_path / "short", resume=True, events=longer)
    run(experiment(schedule="cosine", epochs=5), tmp_path / "long", events=whole)
    assert longer.rates == whole.rates[10:]
    assert len(resumed.epochs) == 5
    assert "the learning rate goes on along the schedule for 5 epochs" in longer.messages


def test_a_finished_run_is_extended(tmp_path: Path):
    run(experiment(epochs=2), tmp_path / "run")
    extended = run(experiment(epochs=4), tmp_path / "run", resume=True)
    whole = run(experiment(epochs=4), tmp_path / "whole")
    assert extended.summary["weights_sha256"] == whole.summary["weights_sha256"]  # the rate is constant


def test_a_run_cut_short_ends_with_what_it_has(stopped: Path):
    result = run(experiment(epochs=1), stopped, resume=True)
    assert [each.epoch for each in result.epochs] == [1]
    assert result.summary["epochs"] == 1


def test_another_learning_rate_counts_when_it_is_forced(stopped: Path):
    model = network()
    listener = Listener()
    e = experiment(model, optimizer=SGD(model.parameters(), lr=0.01, momentum=0.5))
    run(e, stopped, resume=True, force=True, events=listener)
    assert listener.rates == pytest.approx([0.01] * 12)  # the second epoch begins again
    assert listener.messages[0] == "epoch 2 begins again, as its batches may be others"
    assert e.optimizer.param_groups[0]["momentum"] == 0.5


def test_another_optimizer_begins_anew_when_it_is_forced(stopped: Path):
    model = network()
    listener = Listener()
    run(
        experiment(model, optimizer=Adam(model.parameters(), lr=0.01)),
        stopped,
        resume=True,
        force=True,
        events=listener,
    )
    assert "what SGD remembered is of no use to Adam, which begins anew" in listener.messages


def test_a_killed_run_goes_on_with_what_was_forced(stopped: Path):
    """The forced options are in a checkpoint before the config that has them is."""

    def forced() -> tuple[nn.Module, object]:
        model = network()
        return experiment(model, optimizer=SGD(model.parameters(), lr=0.01, momentum=0.5))

    with pytest.raises(Interrupted):
        run(forced(), stopped, resume=True, force=True, events=StopAt(2, 1))
    listener = Listener()
    run(forced(), stopped, resume=True, events=listener)
    assert listener.rates == pytest.approx([0.01] * 11)


def test_other_data_are_refused(stopped: Path):
    with pytest.raises(UsageError, match="the training data are others: they make 4 batches an epoch, not 6"):
        run(experiment(batch_size=12), stopped, resume=True)
    run(experiment(batch_size=12), stopped, resume=True, force=True)


def test_another_network_is_refused_even_when_it_is_forced(stopped: Path):
    model = nn.Sequential(nn.Flatten(), nn.Linear(16, 3))
    with pytest.raises(WeightsError, match=r"the checkpoint does not fit this training: Error.s. in loading"):
        run(experiment(model), stopped, resume=True, force=True)


class Jitter(Dataset):
    """Images with noise from the sample's random stream, as a validation set may have by its transforms."""

    def __init__(self, inner: Dataset):
        self.inner = inner

    def __len__(self) -> int:
        return len(self.inner)

    def __getitem__(self, index: int) -> object:
        image, target = self.inner[index]
        return image + current_stream().uniform(), target


def test_random_transforms_of_validation_images_are_those_of_the_epoch(tmp_path: Path):
    def jittered() -> object:
        e = experiment()
        e.val = DataLoader(Jitter(e.val.dataset), 16, seed=1)
        return e

    whole = run(jittered(), tmp_path / "whole")
    with pytest.raises(Interrupted):
        run(jittered(), tmp_path / "parts", events=StopAt(2, 2))
    resumed = run(jittered(), tmp_path / "parts", resume=True)
    assert [each.val.loss for each in resumed.epochs] == [each.val.loss for each in whole.epochs]
    assert len({each.val.loss for each in whole.epochs}) == 3


class StopInEvaluation(Events):
    """Stops between the last step of an epoch and its end."""

    def pause(self, epoch: int, step: int) -> None:
        if (epoch, step) == (2, 6):
            raise Interrupted(15)


def test_an_epoch_stopped_before_its_validation_is_only_judged(tmp_path: Path):
    whole = run(experiment(), tmp_path / "whole")
    with pytest.raises(Interrupted):
        run(experiment(), tmp_path / "parts", events=StopInEvaluation())
    listener = Listener()
    resumed = run(experiment(), tmp_path / "parts", resume=True, events=listener)
    assert len(listener.rates) == 6, "one epoch of three is left to learn"
    assert [each.lr for each in resumed.epochs] == [each.lr for each in whole.epochs]
    assert [each.train.loss for each in resumed.epochs] == [each.train.loss for each in whole.epochs]
    assert resumed.summary["weights_sha256"] == whole.summary["weights_sha256"]


def test_a_checkpoint_can_be_looked_into_as_any_weights_file(stopped: Path):
    from tinytrain.weights import describe

    names = [each["name"] for each in describe(checkpoints(stopped)[-1])["tensors"]]
    assert {"model/2.weight", "best/2.weight", "optimizer/0/momentum_buffer", "random"} <= set(names)


def test_saving_keeps_the_scores_without_a_table_of_classes_for_each_epoch(stopped: Path):
    arrays, document = read_checkpoint(checkpoints(stopped)[-1])
    assert np.shape(arrays["meter/confusion"]) == (9,)
    assert "confusion" not in document["progress"]["epochs"][0]["val"]


def test_two_trainings_in_one_folder_are_kept_apart(tmp_path: Path):
    folder = RunFolder(tmp_path)
    with folder.locked():
        assert RunFolder(tmp_path).is_in_use()
        assert not folder.is_in_use()
        with pytest.raises(StorageError, match=r"the run folder is in use by process \d+\. Wait until it ends"):
            run(experiment(), tmp_path)
    assert not RunFolder(tmp_path).is_in_use()
    run(experiment(epochs=1), tmp_path)


@pytest.mark.skipif(sys.platform == "win32", reason="fcntl is POSIX's")
def test_who_asks_whether_a_folder_is_in_use_keeps_nobody_out(tmp_path: Path):
    import fcntl

    folder = RunFolder(tmp_path)
    with folder.locked():
        pass
    with (tmp_path / "checkpoint/lock").open() as asking:  # as `is_held` does while it looks
        fcntl.flock(asking, fcntl.LOCK_SH | fcntl.LOCK_NB)
        assert not folder.is_in_use(), "another one that asks is told so"
        answered = threading.Timer(0.05, fcntl.flock, (asking, fcntl.LOCK_UN))
        answered.start()
        with folder.locked():
            assert RunFolder(tmp_path).is_in_use()
        answered.join()


def test_what_a_killed_process_left_half_written_is_removed(tmp_path: Path):
    folder = RunFolder(tmp_path)
    left = []

    class Killed(BaseException):
        pass

    for name in ("best.safetensors", "checkpoint/000001.safetensors", "config.yaml"):
        with pytest.raises(Killed), folder.replacing(name) as path:  # noqa: PT012  # a copy survives the clean-up
            left.append(path)
            raise Killed
        left[-1].write_bytes(b"half")
    mine = tmp_path / ".notes"
    mine.write_text("mine")
    with folder.locked():
        assert not any(path.exists() for path in left)
    assert mine.exists()


def test_a_signal_after_the_last_batch_is_not_lost(tmp_path: Path):
    class Late(Events):
        def evaluate(self, split: str, scores: Scores) -> None:
            os.kill(os.getpid(), signal.SIGTERM)

    folder = RunFolder(tmp_path / "run")
    with pytest.raises(Interrupted) as caught:
        train(experiment(), folder, events=Late())
    assert caught.value.exit_code == 143
    assert (folder.path / "summary.json").exists()


def test_the_handlers_of_signals_are_put_back(tmp_path: Path):
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    run(experiment(epochs=1), tmp_path)
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before


def test_a_random_state_from_outside_does_not_matter(device: str, tmp_path: Path):
    def dropping() -> object:
        tt.manual_seed(1)
        return experiment(nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.Linear(16, 3)), device=device)

    whole = run(dropping(), tmp_path / "whole")
    with pytest.raises(Interrupted):
        run(dropping(), tmp_path / "parts", events=StopAt(2, 3))
    e = dropping()
    tt.manual_seed(4711)
    assert run(e, tmp_path / "parts", resume=True).summary["weights_sha256"] == whole.summary["weights_sha256"]
