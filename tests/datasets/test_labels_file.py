"""Images listed in a CSV or JSON-lines file."""

import pytest
from PIL import Image

from tinytrain.datasets import LabelsFile
from tinytrain.errors import DataError


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "images").mkdir()
    for name in "abc":
        Image.new("RGB", (3, 3), (ord(name), 0, 0)).save(tmp_path / "images" / f"{name}.png")
    return tmp_path


def write(folder, name, text):
    (folder / name).write_text(text, encoding="utf-8")
    return folder / name


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("list.csv", 'label,path,by\n01,images/a.png,me\n"rose, red",images/c.png,\n1,images/b.png,you\n'),
        ("list.csv", '\ufefflabel,path\r\n01,images/a.png\r\n"rose, red",images/c.png\r\n1,images/b.png\r\n'),
        (
            "list.jsonl",
            '{"path": "images/a.png", "label": "01"}\n\n{"label": "rose, red", "path": "images/c.png", "x": 1}\n'
            '{"path": "images/b.png", "label": "1"}',
        ),
    ],
)
def test_labels_stay_text_and_are_sorted(folder, name, text):
    dataset = LabelsFile(write(folder, name, text))
    assert dataset.classes == ["01", "1", "rose, red"]
    assert dataset.targets == [0, 2, 1]
    image, target = dataset[1]
    assert (image.getpixel((0, 0)), target) == ((ord("c"), 0, 0), 2)


@pytest.mark.parametrize(
    ("name", "text", "line", "message"),
    [
        ("l.csv", "file,label\nimages/a.png,x\n", ":1", "the header must name `path` and `label`; it is 'file,label'"),
        ("l.csv", "path,label\nimages/a.png,x\nimages/z.png,x\n", ":3", "there is no file"),
        ("l.csv", "path,label\nimages/a.png\n", ":2", "`path` and `label` must be text"),
        ("l.csv", 'path,label\n"images/a.png,x\n', ":2", "is no CSV"),
        ("l.jsonl", '{"path": "images/a.png", "label": 3}', ":1", "`path` and `label` must be text"),
        ("l.jsonl", '{"path": "images/a.png", "label": "x"}\n[1]', ":2", "a line must be an object"),
        ("l.jsonl", "{", ":1", "is no JSON"),
        ("l.jsonl", f'{{"path": "a.png", "label": {"9" * 5000}}}', ":1", "is no JSON"),
        ("l.jsonl", "\n" + "[" * 100_000, ":2", "is no JSON"),
        ("l.jsonl", "[" * 900 + "]" * 900, ":1", r"a line must be an object with `path` and `label`; got \[\[\["),
        ("l.csv", "path,label\n", "", "it lists no images"),
        ("l.txt", "x", "", "a list of labels is .csv or .jsonl, not '.txt'"),
    ],
)
def test_a_mistake_is_told_with_file_and_line(folder, name, text, line, message):
    path = write(folder, name, text)
    with pytest.raises(DataError, match=message) as caught:
        LabelsFile(path)
    assert caught.value.place == f"{path}{line}"


def test_an_unknown_label_offers_the_closest(folder):
    path = write(folder, "l.csv", "path,label\nimages/a.png,tulp\n")
    with pytest.raises(DataError, match=r"'tulp' is not one of the classes \(did you mean 'tulip'\?\)"):
        LabelsFile(path, classes=["rose", "tulip"])
    assert LabelsFile(path, classes=["rose", "tulp"]).targets == [1]


def test_a_missing_list_is_named(folder):
    with pytest.raises(DataError, match="there is no such file"):
        LabelsFile(folder / "none.csv")


def test_text_that_is_no_utf8_is_refused(folder):
    (folder / "l.csv").write_bytes(b"path,label\nimages/a.png,\xff\n")
    with pytest.raises(DataError, match="is not UTF-8"):
        LabelsFile(folder / "l.csv")
