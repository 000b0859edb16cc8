"""The command line as people and programs use it: lines, exit statuses, and one sentence for each mistake."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import shutil
import subprocess
import sys
import wave
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from crnn import __version__
from crnn.cli import main
from crnn.decode import Reading
from crnn.finetune import FineTuning
from crnn.image import PictureError
from crnn.recognizer import Recognizer

Output = pytest.CaptureFixture[str]


@pytest.fixture
def pictures(tmp_path: Path, word_picture: Callable[..., np.ndarray]) -> list[str]:
    """Three files; the one in the middle is broken."""
    files = [tmp_path / name for name in ("one.png", "broken.png", "two.png")]
    Image.fromarray(word_picture("12")).save(files[0])
    files[1].write_text("not a picture")
    Image.fromarray(word_picture("ab", width=90)).save(files[2])
    return [str(file) for file in files]


def test_read_json_prints_a_line_for_each_picture(tiny_checkpoint: Path, pictures: list[str], capsys: Output) -> None:
    status = main(["read", *pictures, "--json", "--checkpoint", str(tiny_checkpoint), "--length", "3-4", "--top", "2"])
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert status == 1
    assert [line["picture"] for line in lines] == pictures
    assert set(lines[1]) == {"picture", "error"}
    assert "not a picture" in lines[1]["error"]
    for line in (lines[0], lines[2]):
        assert list(line) == ["picture", "text", "confidence", "box", "characters", "alternatives"]
        assert 3 <= len(line["text"]) <= 4
        assert len(line["alternatives"]) == 2
        assert [character["text"] for character in line["characters"]] == list(line["text"])
        assert all(len(character["box"]) == 4 for character in line["characters"])


def test_read_prints_texts_and_says_what_failed(tiny_checkpoint: Path, pictures: list[str], capsys: Output) -> None:
    wish = ["--charset", "ab", "--length", "2", "--checkpoint", str(tiny_checkpoint)]
    assert main(["read", pictures[0], *wish]) == 0
    name, text, sure = capsys.readouterr().out.split()
    assert name == pictures[0] + ":"
    assert set(text) <= set("ab")
    assert sure.endswith("%)")
    assert main(["read", *pictures, *wish]) == 1
    output = capsys.readouterr()
    assert len(output.out.splitlines()) == 2
    assert output.err.startswith(f"{pictures[1]}: The file is not a picture")


def test_read_goes_on_after_names_of_all_kinds(tiny_checkpoint: Path, pictures: list[str], tmp_path: Path) -> None:
    odd = tmp_path / os.fsdecode(b"\xff.png")
    shutil.copy(pictures[0], odd)
    names = [pictures[0], "a" * 300 + ".png", str(odd), pictures[2]]
    command = [sys.executable, "-m", "crnn", "read", *names, "--checkpoint", tiny_checkpoint]
    environment = os.environ | {"PYTHONIOENCODING": "utf-8"}  # no name but text can be printed in it
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 1 and len(done.stdout.splitlines()) == 3
    assert "File name too long" in done.stderr and len(done.stderr.splitlines()) == 1


def test_read_takes_a_picture_from_standard_input(
    tiny_checkpoint: Path, pictures: list[str], capsys: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    stdin = io.TextIOWrapper(io.BytesIO(Path(pictures[0]).read_bytes()))
    monkeypatch.setattr(sys, "stdin", stdin)
    main(["read", "-", pictures[0], "--json", "--checkpoint", str(tiny_checkpoint)])
    piped, named = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert piped.pop("picture") == "-"
    named.pop("picture")
    assert piped["text"] == named["text"]


def test_read_prints_a_table(tiny_checkpoint: Path, pictures: list[str], tmp_path: Path, capsys: Output) -> None:
    comma = tmp_path / "one, two.png"
    shutil.copy(pictures[0], comma)
    assert main(["read", str(comma), pictures[1], "--csv", "--checkpoint", str(tiny_checkpoint)]) == 1
    output = capsys.readouterr()
    good, bad = csv.DictReader(io.StringIO(output.out))
    assert list(good) == ["file_name", "text", "confidence", "error"] and not output.err
    reading = Recognizer.from_pretrained(tiny_checkpoint).read(comma)
    assert (good["file_name"], good["text"], good["error"]) == (str(comma), reading.text, "")
    assert float(good["confidence"]) == pytest.approx(reading.confidence, abs=1e-4)
    assert (bad["text"], bad["confidence"]) == ("", "") and bad["error"].startswith("The file is not a picture")
    with pytest.raises(SystemExit):
        main(["read", str(comma), "--csv", "--json"])


def test_read_says_that_nothing_was_read(monkeypatch: pytest.MonkeyPatch, pictures: list[str], capsys: Output) -> None:
    empty = SimpleNamespace(read_many=lambda names, **wishes: [Reading("", 0.5) for _ in names])
    monkeypatch.setattr("crnn.recognizer.Recognizer.from_pretrained", lambda checkpoint: empty)
    assert main(["read", pictures[0]]) == 0
    assert capsys.readouterr().out == f"{pictures[0]}: (nothing) (50%)\n"


def test_read_ends_quietly_where_nobody_reads_on(tiny_checkpoint: Path, pictures: list[str]) -> None:
    command = [sys.executable, "-m", "crnn", "read", pictures[0], "--json", "--checkpoint", tiny_checkpoint]
    reads, writes = os.pipe()
    os.close(reads)
    done = subprocess.run(command, stdout=writes, stderr=subprocess.PIPE, check=False)
    os.close(writes)
    assert (done.returncode, done.stderr) == (141, b"")


def test_a_closed_standard_input_is_said(
    tiny_checkpoint: Path, capsys: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    assert main(["read", "-", "--checkpoint", str(tiny_checkpoint)]) == 1
    assert capsys.readouterr().err == "error: - stands for standard input, which is closed; give a file.\n"


def seconds_of_sound(file: Path) -> float:
    with wave.open(str(file)) as sound:
        assert any(sound.readframes(sound.getnframes()))
        return sound.getnframes() / sound.getframerate()


def test_read_speaks(tiny_checkpoint: Path, pictures: list[str], tmp_path: Path) -> None:
    sound = tmp_path / "said.wav"
    command = ["read", pictures[0], "--length", "3", "--speak", str(sound), "--checkpoint", str(tiny_checkpoint)]
    main(command)
    plain = seconds_of_sound(sound)
    assert plain > 0.5
    main([*command, "--rate", "300"])
    assert 0.5 < seconds_of_sound(sound) < 0.8 * plain


def test_speak(tmp_path: Path, capsys: Output) -> None:
    plain, phonetic = tmp_path / "plain.wav", tmp_path / "phonetic.wav"
    assert main(["speak", "Ab", "--output", str(plain), "--rate", "200"]) == 0
    assert main(["speak", "Ab", "--output", str(phonetic), "--rate", "200", "--style", "phonetic"]) == 0
    assert "capital Alpha" in capsys.readouterr().out
    assert seconds_of_sound(phonetic) > seconds_of_sound(plain)


def test_speak_in_another_language(tmp_path: Path, capsys: Output) -> None:
    assert main(["speak", "A7", "--output", str(tmp_path / "a.wav"), "--language", "de", "--style", "phonetic"]) == 0
    assert "sieben" in capsys.readouterr().out
    assert seconds_of_sound(tmp_path / "a.wav") > 0.5


def labels(folder: Path) -> list[tuple[str, str]]:
    with (folder / "metadata.csv").open(newline="", encoding="utf-8") as file:
        return [(row["file_name"], row["text"]) for row in csv.DictReader(file)]


def test_draw_is_repeatable_and_labelled(tmp_path: Path, capsys: Output) -> None:
    first, longer, other = tmp_path / "first", tmp_path / "longer", tmp_path / "other"
    assert main(["draw", str(first), "--count", "2", "--seed", "5"]) == 0
    main(["draw", str(longer), "--count", "3", "--seed", "5"])
    main(["draw", str(other), "--count", "2", "--seed", "6"])
    assert labels(longer)[:2] == labels(first) != labels(other)
    for name, text in labels(first):
        assert text
        assert (first / name).read_bytes() == (longer / name).read_bytes()
    assert main(["draw", str(first), "--count", "1"]) == 1
    assert "holds files already" in capsys.readouterr().err


def test_draw_leaves_what_is_there(tmp_path: Path, capsys: Output) -> None:
    (tmp_path / "000000.png").touch()  # a labelled picture: its name is its text
    assert main(["draw", str(tmp_path), "--count", "1"]) == 1
    assert "holds files already; give a new folder, or an empty one" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["000000.png"]


def test_draw_refuses_unknown_styles(tmp_path: Path, capsys: Output) -> None:
    assert main(["draw", str(tmp_path / "new"), "--count", "1", "--style", "no such style"]) == 1
    assert "no such style" in capsys.readouterr().err
    assert main(["draw", str(tmp_path / "new"), "--count", "1", "--style", "plain"]) == 0  # nothing is in its way


class KnowsAll:
    """Stands in for the recognizer: reads every picture right, but for one that it can't open."""

    def read_many(self, paths: Any) -> list[Reading | PictureError]:
        return [PictureError("Broken.") if path.stem == "bad" else Reading(path.stem, 1.0) for path in paths]


@pytest.fixture
def sets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Two labelled folders, and KnowsAll to read them."""
    monkeypatch.setattr("crnn.recognizer.Recognizer.from_pretrained", lambda checkpoint: KnowsAll())
    for name, files in {"all": ["a1", "b2"], "half": ["c3", "bad"]}.items():
        (tmp_path / name).mkdir()
        for file in files:
            (tmp_path / name / f"{file}.png").touch()
    return [str(tmp_path / "all"), str(tmp_path / "half")]


def test_evaluate_counts_a_broken_picture_as_wrong(sets: list[str], capsys: Output) -> None:
    assert main(["evaluate", *sets, "--json"]) == 1  # as for read
    printed = capsys.readouterr()
    assert re.fullmatch(r"counted as read wrong: .*bad\.png: Broken\.\n", printed.err)
    full, half, pooled, mean = (json.loads(line) for line in printed.out.splitlines())
    assert full == {"set": "all", "n": 2, "exact": 1.0, "cased": 1.0, "cer": 0.0, "ece": 0.0}
    assert (half["exact"], half["cer"]) == (0.5, 0.6)  # "bad" has 3 of the 5 characters
    assert (mean["set"], mean["n"], mean["exact"]) == ("mean", 4, 0.75)
    missed = [["b", "", 1], ["a", "", 1], ["d", "", 1]]
    assert pooled == {"pooled": {"n": 4, "ece": 0.0, "sure": 0.75, "right_when_sure": 1.0, "confusions": missed}}


def test_evaluate_prints_a_table(sets: list[str], capsys: Output) -> None:
    main(["evaluate", *sets])
    head, *rows, pooled, sure, confused = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert head == ["set", "n", "exact", "cased", "cer", "ece"]
    assert [row[:3] for row in rows] == [["all", "2", "1.0000"], ["half", "2", "0.5000"], ["mean", "4", "0.7500"]]
    assert pooled == "All 4 pictures: calibration error 0.000.".split()
    assert sure == "Confidence 0.9 or more: 75.0% of readings, 100.00% of them right.".split()
    assert confused == "Most confused: b as (nothing) 1, a as (nothing) 1, d as (nothing) 1.".split()


def test_bench_needs_something_to_measure_on(capsys: Output) -> None:
    for option in ("--pictures", "--mixed"):
        assert main(["bench", option, "0"]) == 1
        assert "give --pictures and --mixed of at least 1" in capsys.readouterr().err


def test_bench_says_first_what_a_plot_lacks(monkeypatch: pytest.MonkeyPatch, capsys: Output) -> None:
    monkeypatch.setattr("crnn.cli.find_spec", lambda name: None)
    assert main(["bench", "--plot", "plot.png"]) == 1
    assert "--plot needs matplotlib" in capsys.readouterr().err


def test_evaluate_needs_a_label(sets: list[str], tmp_path: Path, capsys: Output) -> None:
    (tmp_path / "all" / "metadata.csv").write_text("file_name,text\na1.png,a1\n")
    assert main(["evaluate", sets[0]]) == 0
    assert re.fullmatch(r"left out, without a label: 1 in .*all\n", capsys.readouterr().err)
    (tmp_path / "all" / "metadata.csv").write_text("file_name,text\n")
    assert main(["evaluate", sets[0]]) == 1
    assert "None of the 2 pictures in" in capsys.readouterr().err


def test_evaluate_needs_something_to_measure_on(capsys: Output) -> None:
    assert main(["evaluate"]) == 1
    assert "give labelled folders, or --draw N" in capsys.readouterr().err


def test_train_hands_over(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[Any, ...]] = []

    def train(output: Path, *wishes: Any) -> Path:
        calls.append((output, *wishes))
        return output

    def fine_tune(folders: list[Path], output: Path, wishes: FineTuning) -> Path:
        calls.append((folders, output, wishes))
        return output

    monkeypatch.setattr("crnn.train.train", train)
    monkeypatch.setattr("crnn.finetune.fine_tune", fine_tune)
    assert main(["train", "--draw", "--output", "out", "--minutes", "1.5", "--seed", "7"]) == 0
    assert main(["train", "one", "two", "--output", "out", "--from", "weights", "--resume", "--layers", "head"]) == 0
    assert calls == [
        (Path("out"), None, 1.5, False, 7),
        ([Path("one"), Path("two")], Path("out"), FineTuning("weights", resume=True, layers="head")),
    ]
    assert main(["train", "--draw", "--output", "out", "--steps", "5"]) == 1


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["read", "x.png", "--checkpoint", "."], "holds no config.json"),
        (["speak", "a", "--output", "x.wav", "--rate", "10"], "rate of 10"),
        (["evaluate", "no/such/folder", "--checkpoint", "."], "holds no config.json"),
        (["draw", "file", "--count", "1"], "file can't be used (File exists); give another."),
    ],
)
def test_mistakes_get_one_sentence(
    arguments: list[str], sentence: str, capsys: Output, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file").touch()
    assert main(arguments) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert sentence in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ["read"],
        ["read", "x.png", "--length", "5-"],
        ["read", "x.png", "--length", "long"],
        ["read", "x.png", "--speak", "x.mp3"],
        ["speak", "a", "--output", "no/such/folder/x.wav"],
        ["sheet", "x.png", "--columns", "0"],
        ["draw", "x", "--count", "-1"],
        ["train", "--output", "x"],
        ["train", "folder", "--draw", "--output", "x"],
    ],
)
def test_wrong_usage_exits_with_2(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2


def test_help_is_quick_and_complete() -> None:
    code = "import sys, crnn.cli; print(*(name in sys.modules for name in ('torch', 'transformers', 'cv2', 'gradio')))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert loaded.stdout.split() == ["False"] * 4
    shown = subprocess.run([sys.executable, "-m", "crnn", "--help"], capture_output=True, text=True, check=True).stdout
    assert all(command in shown for command in ("read", "speak", "draw", "train", "evaluate"))


def test_version_is_the_changelogs() -> None:
    changelog = (Path(__file__).parent.parent / "CHANGELOG.md").read_text(encoding="utf-8")
    released = [line for line in changelog.splitlines() if line.startswith("## [")]
    assert released[0].startswith(f"## [{__version__}]")
