"""Pickles that would execute something: refused by name, nothing executed."""

from __future__ import annotations

import io
import os
import pickle
import zipfile

import numpy as np
import pytest

from tinytrain.cli.main import run
from tinytrain.errors import WeightsError
from tinytrain.weights import read_weights

from .files import MAGIC, PROTOCOL, Call, Named, Storage, pickled, tar_file, tensor, zip_file

COMMAND = "echo executed > traces"


class Reduces:
    """Pickles as any call, by Python's own pickler."""

    def __init__(self, function, *arguments):
        self.saved = (function, arguments)

    def __reduce__(self):
        return self.saved


@pytest.fixture
def untouched(tmp_path, monkeypatch):
    """Return an empty working folder, in which nothing may appear."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    yield folder
    assert not list(folder.iterdir())


def containers(folder, content):
    """Return files of every format that hold a pickle."""
    row = pickle.dumps(MAGIC, 2) + pickle.dumps(PROTOCOL, 2) + pickle.dumps({}, 2)
    (folder / "first.pth").write_bytes(content)
    (folder / "row.pth").write_bytes(row + content + pickle.dumps([], 2))
    return [
        zip_file(folder / "zip.pth", content, {}),
        folder / "first.pth",
        folder / "row.pth",
        tar_file(folder / "tar.pth", {"pickle": content, "storages": pickle.dumps(0, 2)}),
        tar_file(folder / "tar2.pth", {"pickle": pickled({}), "storages": content}),
    ]


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize(
    ("value", "name"),
    [
        (Reduces(os.system, COMMAND), r"(posix|nt)\.system"),
        (Reduces(eval, f"__import__('os').system({COMMAND!r})"), r"(builtins|__builtin__)\.eval"),
        (Reduces(exec, "open('traces', 'w')"), r"(builtins|__builtin__)\.exec"),
        (Reduces(getattr, "", "join"), r"(builtins|__builtin__)\.getattr"),
        (Reduces(open, "traces", "w"), r"(io|_io)\.open"),
    ],
)
def test_a_call_of_pythons_own_pickler_is_refused_by_name(untouched, tmp_path, protocol, value, name):
    for path in containers(tmp_path, pickle.dumps({"a": value}, protocol)):
        with pytest.raises(WeightsError, match=rf"{path.name}: the pickle names {name}, which is not imported"):
            read_weights(path)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"cos\nsystem\n(S'echo executed > traces'\ntR.", r"names os\.system"),
        (b"(S'echo executed > traces'\nios\nsystem\n.", r"names os\.system"),
        (b"(cos\nsystem\nS'echo executed > traces'\no.", r"names os\.system"),
        (b"\x80\x02cos\nsystem\n(S'x'\nt\x81.", r"names os\.system"),
        (b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x01x\x85R.", r"names os\.system"),
        (
            b"\x80\x04\x8c\x0ctorch._utils\x8c\x1b_rebuild_tensor_v2.__init__\x93.",
            r"names torch\._utils\._rebuild_tensor_v2\.__init",
        ),
        (
            b"\x80\x04\x8c\x0bcollections\x8c\x1aOrderedDict.__subclasses__\x93.",
            r"names collections\.OrderedDict\.__subclasses__",
        ),
        (b"\x80\x02ctorch\nFloatStorage\n(tR.", r"calls torch\.FloatStorage, which is neither imported nor called"),
        (b"\x80\x02ctorch\nFloatStorage\n)\x81.", "the instruction NEWOBJ"),
        (b"\x80\x02ccollections\nOrderedDict\n}b.", "a Unbuilt was expected, not a Global"),
        (b"\x80\x02\x82\x01.", "the instruction EXT1"),
        (b"\x80\x02\x83\x01\x00.", "the instruction EXT2"),
        (b"\x80\x02\x84\x01\x00\x00\x00.", "the instruction EXT4"),
        (b"\x80\x05\x97.", "the instruction NEXT_BUFFER"),
        (b"\x80\x02c\x1b[2J\nx\n.", r"names \\x1b\[2J\.x"),
    ],
)
def test_every_way_to_a_call_is_refused(untouched, tmp_path, content, reason):
    with pytest.raises(WeightsError, match=reason):
        read_weights(zip_file(tmp_path / "w.pth", content, {}))


def test_a_state_cannot_turn_a_builder_into_another(untouched, tmp_path):
    value = Call("torch._tensor._rebuild_from_type_v2", Named("os.system"), Named("torch.Tensor"), (COMMAND,), {})
    with pytest.raises(WeightsError, match=r"names os\.system"):
        read_weights(zip_file(tmp_path / "w.pth", {"a": value}, {}))


def test_keys_that_would_exhaust_the_stack_are_refused(tmp_path):
    nested = b"\x80\x02})" + b"\x85" * 300_000 + b"K\x01s."
    with pytest.raises(WeightsError, match="a dict has a key that is not plain: tuple"):
        read_weights(zip_file(tmp_path / "w.pth", nested, {}))


def test_keys_made_to_collide_are_refused(tmp_path):
    with pytest.raises(WeightsError, match="a dict has a key that is not plain: int"):
        read_weights(zip_file(tmp_path / "w.pth", {(1 << 61) - 1: 1, 2 * ((1 << 61) - 1): 2}, {}))


def test_deep_values_are_refused_without_recursion(tmp_path):
    nested = b"\x80\x02}K\x01" + b"]" * 200_000 + b"a" * 199_999 + b"s."
    with pytest.raises(WeightsError, match="nested more than 64 deep"):
        read_weights(zip_file(tmp_path / "w.pth", nested, {}))


@pytest.mark.parametrize(
    "around",
    [
        (b"ctorch\ndevice\n", b"\x85R"),
        (b"", b"Q"),
        (b"(X\x07\x00\x00\x00storagectorch\nFloatStorage\n", b"X\x03\x00\x00\x00cpuK\x01tQ"),
    ],
)
def test_deep_values_where_text_belongs_are_refused_without_recursion(tmp_path, around):
    before, after = around
    content = b"\x80\x02}K\x01" + before + b"]" * 100_000 + b"a" * 99_999 + after + b"s."
    with pytest.raises(WeightsError, match="damaged"):
        read_weights(zip_file(tmp_path / "w.pth", content, {}))


def test_a_name_may_be_mentioned_where_tensors_only_are_wanted(untouched, tmp_path):
    value = {"a": tensor(Storage("FloatStorage", "0", 1), 0, (1,), (1,)), "kind": Named("torch.optim.sgd.SGD")}
    path = zip_file(tmp_path / "w.pth", value, {"0": b"\0\0\x80?"})
    with pytest.raises(WeightsError, match=r"names torch\.optim\.sgd\.SGD"):
        read_weights(path)
    file = read_weights(path, tensors_only=True)
    assert file.tensors["a"].tolist() == [1]
    assert file.ignored == ["torch.optim.sgd.SGD"]
    assert file.describe()["entries"] == [{"name": "kind", "type": "Global", "value": "torch.optim.sgd.SGD"}]


def test_a_name_may_not_be_called_where_tensors_only_are_wanted(untouched, tmp_path):
    path = zip_file(tmp_path / "w.pth", {"a": Call("os.system", COMMAND)}, {})
    with pytest.raises(WeightsError, match=r"calls os\.system, which is neither imported nor called"):
        read_weights(path, tensors_only=True)


@pytest.mark.parametrize("command", [["doctor"], ["evaluate", "--config", "c.yaml"]])
def test_the_command_line_refuses_with_exit_3_and_the_name(untouched, tmp_path, capsys, command):
    path = tmp_path / "w.pth"
    path.write_bytes(pickle.dumps(Reduces(os.system, COMMAND)))
    (tmp_path / "c.yaml").write_text("data: {dataset: digits}\nmodel: {name: cnn}\n")
    arguments = [str(tmp_path / each) if each == "c.yaml" else each for each in command]
    assert run([*arguments, str(path)]) == 3
    stdout, stderr = capsys.readouterr()
    assert stdout == ""
    assert f"error: {path}: the pickle names {os.system.__module__}.system" in stderr
    assert stderr.count("\n") == 1


def test_arrays_of_objects_in_an_npz_are_refused(untouched, tmp_path):
    content = io.BytesIO()
    np.save(content, np.array([Reduces(os.system, COMMAND)]), allow_pickle=True)
    with zipfile.ZipFile(tmp_path / "w.npz", "w") as file:
        file.writestr("a.npy", content.getvalue())
    with pytest.raises(WeightsError, match=r"'a\.npy' holds '\|O', not plain numbers"):
        read_weights(tmp_path / "w.npz")


def remembered(argument, callee, *options):
    """Return a pickle that remembers a value, and calls a global with it 600 times, in 9 bytes each."""
    tuple_of = {0: b"\x85", 1: b"h\x02\x86"}[len(options)]
    begin = b"\x80\x02c" + callee.replace(".", "\n").encode() + b"\nq\x00" + argument + b"q\x01"
    begin += b"".join(pickled(option)[2:-1] + b"q\x02" for option in options)
    return begin + b"](" + (b"h\x00h\x01" + tuple_of + b"R") * 600 + b"e."


TEXT = b"X" + (1_000_000).to_bytes(4, "little") + b"a" * 1_000_000
LIST = b"](" + b"N" * 100_000 + b"e"
DICT = b"}(" + b"".join(b"J" + key.to_bytes(4, "little") + b"N" for key in range(20_000)) + b"u"


@pytest.mark.parametrize(
    "content",
    [
        remembered(TEXT, "_codecs.encode", "latin1"),
        remembered(TEXT, "torch.device", 0),
        remembered(LIST, "torch.Size"),
        remembered(LIST, "builtins.set"),
        remembered(DICT, "collections.OrderedDict"),
        b"\x80\x02](" + b"]" * 3_000_000 + b"e.",
        b"\x80\x02]" + b"\x94" * 1_500_000 + b".",
    ],
    ids=["bytes", "device", "size", "set", "dict", "empty lists", "memo"],
)
def test_what_a_pickle_builds_is_counted_however_short_it_says_it(tmp_path, content):
    with pytest.raises(WeightsError, match=r"w\.pth: the file stands for more than \d+ bytes, far more than its size"):
        read_weights(zip_file(tmp_path / "w.pth", content, {}, compression=zipfile.ZIP_DEFLATED))
