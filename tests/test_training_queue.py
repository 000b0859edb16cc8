"""The queue, with a script that writes a training's events in place of one; and what people bring to learn from."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from crnn.charset import Charset
from crnn.intake import Limits, version_of
from crnn.tabs import training_queue as module
from crnn.tabs.label_queue import File, LabelQueue, View
from crnn.tabs.training_queue import BusyError, QueueFullError, Rules, State, TrainingOptions, TrainingQueue, scratch
from crnn.tabs.workspace import Upload, Workspace

PATIENCE_S = 30
ANN, BOB, CAT = ("ann" * 10, "bob" * 10, "cat" * 10)

# Waits for a file "go" beside its output before each step, so that a test says how far it comes; three steps make it.
STAND_IN = """
import json, os, sys, time
from pathlib import Path
run, resume = Path(sys.argv[1]), sys.argv[2] == "True"

def write(event, **figures):
    with (run / "progress.jsonl").open("a") as file:
        file.write(json.dumps({"event": event, **figures}) + "\\n")

first = len(list(run.glob("checkpoint-*"))) if resume else 0
write("start", spent_s=float(first), resumed=resume)
if not resume:
    write("before", exact=0.5, cer=0.1)
reason = "time"
for step in range(first + 1, 4):
    go = run.parent / "go"
    while not go.exists() and not (run / "stop").exists():
        time.sleep(0.01)
    if (run / "stop").exists():
        reason = "stopped"
        break
    go.unlink()
    (run / f"checkpoint-{step}").mkdir()
    write("step", step=step, spent_s=float(step), left_s=3.0 - step, share=step / 3, loss=1 / step)
    write("evaluated", step=step, spent_s=float(step), loss=1 / step, best=True, exact=0.5, cer=0.1)
(run / "model").write_text("learnt")
write("done", reason=reason, nice=os.nice(0))
"""
DIES_AT_ONCE = "raise SystemExit(3)"
FAILS = """
import json, sys
from pathlib import Path
event = {"event": "error", "sentence": "It is of no use."}
(Path(sys.argv[1]) / "progress.jsonl").write_text(json.dumps(event) + "\\n")
"""
FORGETS_ONE_STOP = STAND_IN.replace(
    'reason = "time"',
    """
while not (run / "stop").exists():
    time.sleep(0.01)
(run / "stop").unlink()
reason = "time"
""",
)
HANGS = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"


def command(script: str) -> module.Command:
    return lambda workspace, options, resume: [sys.executable, "-c", script, str(workspace.run), str(resume)]


@pytest.fixture
def open_trainings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., TrainingQueue]]:
    """A function that opens a trainings in the same folder each time; all are closed at the end."""
    monkeypatch.setattr(module, "POLL_S", 0.02)
    monkeypatch.setattr(module, "CLEAN_S", 0.05)
    opened: list[TrainingQueue] = []

    def open_one(script: str = STAND_IN, **rules: int) -> TrainingQueue:
        opened.append(TrainingQueue(tmp_path / "trainings", Rules(**rules), command(script)))
        return opened[-1]

    yield open_one
    for one in opened:
        one.close()


def until(condition: Callable[[], Any]) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.01)


def go(workspace: Workspace) -> None:
    """Let a stand-in make one more step."""
    (workspace.folder / "go").touch()
    until(lambda: not (workspace.folder / "go").exists())


def process_of(workspace: Workspace) -> int:
    return int((workspace.folder / "process").read_text())


# ---------------------------------------------------------------- trainings


def test_a_training_runs_in_a_process_of_its_own_and_tells_how_it_goes(
    open_trainings: Callable[..., TrainingQueue],
) -> None:
    trainings = open_trainings()
    workspace = trainings.workspace(ANN)
    assert trainings.state(workspace) == State()
    trainings.start(workspace, TrainingOptions(minutes=2, layers="head"))
    go(workspace)
    until(lambda: trainings.state(workspace).evaluated)
    state = trainings.state(workspace)
    assert (state.phase, state.options) == ("running", TrainingOptions(minutes=2, layers="head"))
    assert [step["loss"] for step in state.steps] == [1.0] and state.before == {
        "event": "before",
        "exact": 0.5,
        "cer": 0.1,
    }
    assert os.getpgid(process_of(workspace)) == process_of(workspace) != os.getpgid(0)
    for _ in range(2):
        go(workspace)
    state = trainings.wait(workspace, PATIENCE_S)
    assert state.phase == "done" and not state.active and len(state.steps) == 3
    assert state.done == {"event": "done", "reason": "time", "nice": 19}


def test_the_others_wait_in_their_order(open_trainings: Callable[..., TrainingQueue]) -> None:
    trainings = open_trainings(queue=2)
    ann, bob, cat, dan = (trainings.workspace(token) for token in (ANN, BOB, CAT, "dan" * 10))
    trainings.start(ann, TrainingOptions())
    until(lambda: trainings.state(ann).phase == "starting")
    trainings.start(bob, TrainingOptions())
    trainings.start(cat, TrainingOptions())
    assert [trainings.state(workspace).place for workspace in (ann, bob, cat)] == [0, 1, 2]
    assert trainings.state(cat).phase == "queued"
    with pytest.raises(QueueFullError, match="^2 trainings are waiting; try again in some minutes.$"):
        trainings.start(dan, TrainingOptions())
    with pytest.raises(BusyError):
        trainings.start(cat, TrainingOptions())

    assert not trainings.stop(bob)  # leaves the queue
    assert trainings.state(bob) == State() and trainings.state(cat).place == 1
    assert trainings.stop(ann)
    assert trainings.wait(ann, PATIENCE_S).phase == "done"
    until(lambda: trainings.state(cat).phase == "starting")
    assert not (bob.run / "progress.jsonl").exists()


def test_stop_keeps_the_best_so_far(open_trainings: Callable[..., TrainingQueue]) -> None:
    trainings = open_trainings()
    workspace = trainings.workspace(ANN)
    trainings.start(workspace, TrainingOptions())
    go(workspace)
    trainings.stop(workspace)
    state = trainings.state(workspace)
    assert state.stopping or state.phase == "done"
    state = trainings.wait(workspace, PATIENCE_S)
    assert (
        state.done is not None
        and state.done["reason"] == "stopped"
        and (workspace.run / "model").read_text() == "learnt"
    )
    assert not (workspace.run / "stop").exists()


def test_a_stop_that_comes_before_the_training_listens_is_not_lost(
    open_trainings: Callable[..., TrainingQueue],
) -> None:
    trainings = open_trainings(FORGETS_ONE_STOP)
    workspace = trainings.workspace(ANN)
    trainings.start(workspace, TrainingOptions())
    until(lambda: workspace.run.is_dir())
    trainings.stop(workspace)
    state = trainings.wait(workspace, PATIENCE_S)
    assert state.done is not None and state.done["reason"] == "stopped"


def test_a_killed_training_is_interrupted_and_goes_on(open_trainings: Callable[..., TrainingQueue]) -> None:
    trainings = open_trainings()
    workspace = trainings.workspace(ANN)
    options = TrainingOptions(minutes=7, seed=3)
    trainings.start(workspace, options)
    for _ in range(2):
        go(workspace)
    until(lambda: len(trainings.state(workspace).evaluated) == 2)
    os.kill(process_of(workspace), signal.SIGKILL)
    state = trainings.wait(workspace, PATIENCE_S)
    assert (state.phase, state.resumable, state.options) == ("interrupted", True, options)

    (workspace.run / "checkpoint-2").rmdir()  # it was killed before this one was written
    trainings.start(workspace, options, resume=True)
    for _ in range(2):
        go(workspace)
    state = trainings.wait(workspace, PATIENCE_S)
    assert state.phase == "done" and [step["step"] for step in state.steps] == [1, 2, 3]
    assert state.before is not None


def test_without_a_checkpoint_it_can_only_begin_again(open_trainings: Callable[..., TrainingQueue]) -> None:
    trainings = open_trainings(DIES_AT_ONCE)
    workspace = trainings.workspace(ANN)
    trainings.start(workspace, TrainingOptions())
    state = trainings.wait(workspace, PATIENCE_S)
    assert (state.phase, state.resumable) == ("interrupted", False)


def test_a_new_training_forgets_the_last_one(open_trainings: Callable[..., TrainingQueue]) -> None:
    trainings = open_trainings()
    workspace = trainings.workspace(ANN)
    for _ in range(2):
        trainings.start(workspace, TrainingOptions())
        go(workspace)
        until(lambda: trainings.state(workspace).evaluated)
        assert len(trainings.state(workspace).steps) == 1
        trainings.stop(workspace)
        assert trainings.wait(workspace, PATIENCE_S).phase == "done"


def test_an_error_is_told_in_its_sentence(open_trainings: Callable[..., TrainingQueue]) -> None:
    trainings = open_trainings(FAILS)
    workspace = trainings.workspace(ANN)
    trainings.start(workspace, TrainingOptions())
    state = trainings.wait(workspace, PATIENCE_S)
    assert (state.phase, state.sentence) == ("failed", "It is of no use.")


def test_a_command_that_cannot_be_started_does_not_end_the_queue(
    open_trainings: Callable[..., TrainingQueue],
) -> None:
    trainings = open_trainings()
    workspace = trainings.workspace(ANN)
    trainings.command = lambda workspace, options, resume: ["/nowhere/\0"]
    trainings.start(workspace, TrainingOptions())
    assert trainings.wait(workspace, PATIENCE_S).phase == "interrupted"
    trainings.command = command(FAILS)
    trainings.start(workspace, TrainingOptions())
    assert trainings.wait(workspace, PATIENCE_S).phase == "failed"


def test_what_takes_far_too_long_is_killed(
    open_trainings: Callable[..., TrainingQueue], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SLACK_S", 0.2)
    trainings = open_trainings(HANGS)
    workspace = trainings.workspace(ANN)
    trainings.start(workspace, TrainingOptions(minutes=0.001))
    assert trainings.wait(workspace, PATIENCE_S).phase == "interrupted"


def test_a_training_ends_with_the_server(
    open_trainings: Callable[..., TrainingQueue], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "GOODBYE_S", 0.3)
    trainings = open_trainings(HANGS)
    workspace, other = trainings.workspace(ANN), trainings.workspace(BOB)
    trainings.start(workspace, TrainingOptions())
    until(lambda: (workspace.folder / "process").exists())
    trainings.start(other, TrainingOptions())
    trainings.close()
    with pytest.raises(ProcessLookupError):
        os.kill(process_of(workspace), 0)
    assert trainings.state(other) == State()


def test_a_restarted_server_finds_a_training_that_is_done_and_one_that_still_runs(
    open_trainings: Callable[..., TrainingQueue],
) -> None:
    first = open_trainings()
    done, running, waiting = (first.workspace(token) for token in (ANN, BOB, CAT))
    first.start(done, TrainingOptions())
    until(lambda: first.state(done).phase == "starting")
    first.stop(done)
    first.wait(done, PATIENCE_S)
    first.start(running, TrainingOptions(minutes=4))
    go(running)
    until(lambda: first.state(running).evaluated)

    second = open_trainings()  # as if the first had been killed
    assert second.state(second.workspace(ANN)).phase == "done"
    until(lambda: second.state(running).phase == "running")
    assert second.state(running).options == TrainingOptions(minutes=4)
    second.start(waiting, TrainingOptions())
    assert second.state(waiting).phase == "queued"  # still one at a time
    for _ in range(2):
        go(running)
    assert second.wait(running, PATIENCE_S).phase == "done"
    until(lambda: second.state(waiting).phase == "starting")
    second.stop(waiting)


def test_a_second_server_leaves_the_first_ones_training_alone(open_trainings: Callable[..., TrainingQueue]) -> None:
    first = open_trainings()
    workspace = first.workspace(ANN)
    first.start(workspace, TrainingOptions())
    until(lambda: first.state(workspace).phase == "starting")
    second = open_trainings()
    until(lambda: second.state(workspace).phase == "starting")
    second.close()
    for _ in range(3):
        go(workspace)
    assert first.wait(workspace, PATIENCE_S).phase == "done"


def test_a_budget_beyond_the_rules_is_refused(open_trainings: Callable[..., TrainingQueue]) -> None:
    trainings = open_trainings(minutes=5)
    for minutes in (0, -1, 5.5, float("nan")):
        with pytest.raises(ValueError, match="give more than 0 and at most 5.$"):
            trainings.start(trainings.workspace(ANN), TrainingOptions(minutes=minutes))


# ---------------------------------------------------------------- workspaces


def test_two_visitors_are_apart_and_their_secrets_are_not_on_the_disk(
    open_trainings: Callable[..., TrainingQueue],
) -> None:
    trainings = open_trainings()
    ann, bob = trainings.workspace(ANN), trainings.workspace(BOB)
    assert ann != bob and ann == trainings.workspace(ANN)
    assert ANN not in str(ann.folder) and ann.folder.parent == trainings.root
    assert trainings.root.stat().st_mode & 0o777 == 0o700
    for token in ("", "../../etc", "x" * 1000, None, 7):
        with pytest.raises(ValueError, match="reload the page"):
            trainings.workspace(token)  # type: ignore[arg-type]


def test_what_nobody_uses_is_removed_and_nothing_else(
    open_trainings: Callable[..., TrainingQueue], tmp_path: Path
) -> None:
    trainings = open_trainings(keep_minutes=1)
    old, new, running = (trainings.workspace(token) for token in (ANN, BOB, CAT))
    stranger, aim = trainings.root / "notes", tmp_path / "aim"
    aim.mkdir()
    (aim / "file").touch()
    link = trainings.root / ("0" * 32)
    link.symlink_to(aim)
    stranger.mkdir()
    (old.pictures / "link").symlink_to(aim)
    trainings.start(running, TrainingOptions())
    until(lambda: trainings.state(running).phase == "starting")
    for folder in (old.folder, stranger, running.folder):
        os.utime(folder, (0, time.time() - 61))
    until(lambda: not old.folder.exists())
    assert new.folder.exists() and stranger.exists() and running.folder.exists() and (aim / "file").exists()
    assert trainings.workspace(ANN).pictures.is_dir()


def test_it_goes_on_when_its_whole_folder_was_removed(open_trainings: Callable[..., TrainingQueue]) -> None:
    trainings = open_trainings()
    shutil.rmtree(trainings.root)
    time.sleep(3 * module.CLEAN_S)
    assert trainings._thread.is_alive()
    assert trainings.workspace(ANN).pictures.is_dir()


def test_start_over_ends_a_training_and_removes_everything(open_trainings: Callable[..., TrainingQueue]) -> None:
    trainings = open_trainings()
    workspace, other = trainings.workspace(ANN), trainings.workspace(BOB)
    trainings.start(workspace, TrainingOptions())
    until(lambda: trainings.state(workspace).phase == "starting")
    trainings.start(other, TrainingOptions())
    trainings.remove(other)
    process = process_of(workspace)
    trainings.remove(workspace)
    with pytest.raises(ProcessLookupError):
        os.kill(process, 0)
    assert not workspace.folder.exists() and not other.folder.exists()
    assert trainings.state(trainings.workspace(ANN)) == State()


def test_a_folder_of_somebody_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path)
    (tmp_path / "file").touch()
    for name in ("link", "file"):
        with pytest.raises(
            ValueError, match="can't be used for training .*; set CRNN_TRAIN_FOLDER to one of your own.$"
        ):
            TrainingQueue(tmp_path / name, Rules(), command(STAND_IN))


def test_rules_come_from_the_environment() -> None:
    assert Rules.of({}) == Rules(10_000, 200, 30, 8, 120)
    assert Rules.of({"SPACE_ID": "someone/space"}).minutes == 10
    assert Rules.of({"SPACE_ID": "someone/space", "CRNN_TRAIN_MINUTES": "60"}).minutes == 60
    assert Rules.of({"CRNN_TRAIN_PICTURES": "5", "CRNN_TRAIN_KEEP_MINUTES": "9"}) == Rules(pictures=5, keep_minutes=9)
    for value in ("0", "-3", "many", "1.5", "²", "9" * 40):
        with pytest.raises(ValueError, match=f"^CRNN_TRAIN_QUEUE is '{value}'; set it to a whole number from 1 on"):
            Rules.of({"CRNN_TRAIN_QUEUE": value})


def test_the_folder_comes_from_the_environment() -> None:
    assert scratch({"CRNN_TRAIN_FOLDER": "/a", "GRADIO_TEMP_DIR": "/b"}) == Path("/a")
    assert scratch({"GRADIO_TEMP_DIR": "/b"}) == Path("/b/captcha-reader-training")
    assert scratch({}).name == "captcha-reader-training"
    assert scratch({"CRNN_TRAIN_FOLDER": "here"}) == Path.cwd() / "here"  # a training runs in another folder


def test_the_command_is_that_of_the_command_line(tmp_path: Path) -> None:
    from crnn.cli import _parser

    workspace = Workspace(tmp_path)
    given = module.training("some/model")(workspace, TrainingOptions(2.5, "head", 7, 0.3), True)
    assert given[:3] == [sys.executable, "-m", "crnn"]
    arguments = _parser().parse_args(given[3:])
    assert (
        arguments.folders == [workspace.pictures]
        and arguments.output == workspace.run
        and arguments.start == "some/model"
    )
    assert (arguments.minutes, arguments.layers, arguments.seed, arguments.draw_share) == (2.5, "head", 7, 0.3)
    assert arguments.resume
    assert _parser().parse_args(module.training()(workspace, TrainingOptions(), False)[3:]).start == str(module.SHIPPED)


# ---------------------------------------------------------------- pictures


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    (tmp_path / "workspace" / "pictures").mkdir(parents=True)
    return Workspace(tmp_path / "workspace")


@pytest.fixture
def picture(tmp_path: Path) -> Callable[[str], Path]:
    """A function that makes a picture file, another one each time."""
    rng = np.random.default_rng(0)

    def make(name: str) -> Path:
        path = tmp_path / "made" / name
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(rng.integers(0, 255, (40, 120, 3), np.uint8)).save(path)
        return path

    return make


def zipped(path: Path, **files: Path | str) -> Upload:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content.read_bytes() if isinstance(content, Path) else content)
    return Upload(path, path.name)


def labels(workspace: Workspace) -> dict[str, str]:
    return {example.path.name: example.text for example in workspace.examples()}


LIMITS = Limits(pictures=6, megabytes=1)


def test_pictures_of_all_ways_lie_side_by_side_with_their_labels(
    workspace: Workspace, picture: Callable[[str], Path], tmp_path: Path
) -> None:
    table = "file_name,text\na.png,first\nb.png,\n"
    archive = zipped(
        tmp_path / "1.zip", **{"x/a.png": picture("1.png"), "x/b.png": picture("2.png"), "x/metadata.csv": table}
    )
    assert workspace.bring([archive, Upload(picture("W7k.png"), "W7k.png")], True, LIMITS) == []
    assert workspace.bring([Upload(picture("a.png"), "C:\\photos\\a.png")], True, LIMITS) == []
    assert labels(workspace) == {"a.png": "first", "b.png": "", "W7k.png": "W7k", "a (2).png": "a"}
    assert len(list(workspace.folder.iterdir())) == 1  # nothing else is left
    assert workspace.bring([Upload(picture("q.png"), "q.png")], False, LIMITS) == []
    assert labels(workspace)["q.png"] == ""


def test_a_table_may_come_before_or_after_its_pictures(
    workspace: Workspace, picture: Callable[[str], Path], tmp_path: Path
) -> None:
    table = tmp_path / "labels"
    table.write_text("file_name,text\na.png,one\nb.png,two\n")
    workspace.bring([Upload(picture("a.png"), "a.png")], False, LIMITS)
    workspace.bring([Upload(table, "metadata.csv")], False, LIMITS)
    assert labels(workspace) == {"a.png": "one", "b.png": "two"}
    charset = Charset("abcdefghijklmnopqrstuvwxyz")
    report = workspace.report(charset, 48, 4)
    assert [problem.file for problem in report.problems] == ["b.png"] and len(report.usable) == 1
    workspace.bring([Upload(picture("b.png"), "b.png")], True, LIMITS)
    assert labels(workspace) == {"a.png": "one", "b.png": "two"} and not workspace.report(charset, 48, 4).problems


def test_what_is_of_no_use_gets_a_sentence_and_the_rest_goes_on(
    workspace: Workspace, picture: Callable[[str], Path], tmp_path: Path
) -> None:
    (tmp_path / "notes").write_text("hello")
    evil = zipped(tmp_path / "evil.zip", **{"../x.png": picture("1.png")})
    good = Upload(picture("good.png"), "good.png")
    told = workspace.bring(
        [Upload(tmp_path / "notes", "notes.txt"), evil, Upload(tmp_path / "notes", "n.zip"), good], True, LIMITS
    )
    assert [sentence.split(":")[0] for sentence in told] == ["notes.txt", "evil.zip", "n.zip"]
    assert told[0] == "notes.txt: It is no picture, no zip and no metadata.csv; bring one of these."
    assert labels(workspace) == {"good.png": "good"}
    assert not [path for path in tmp_path.rglob("x.png")]


def test_two_files_of_one_name_at_once_get_a_sentence(workspace: Workspace, picture: Callable[[str], Path]) -> None:
    told = workspace.bring([Upload(picture(name), "a.png") for name in ("1.png", "2.png")], True, LIMITS)
    assert told == ["a.png: Two files of this name came at once; bring one after the other."]
    assert labels(workspace) == {"a.png": "a"}


def test_a_table_of_nothing_tells_no_path_of_the_server(workspace: Workspace, tmp_path: Path) -> None:
    (tmp_path / "table").write_text("file_name,text\n")
    (told,) = workspace.bring([Upload(tmp_path / "table", "metadata.csv")], True, LIMITS)
    assert told.startswith("What came has no labelled pictures; give") and str(tmp_path) not in told
    (told,) = workspace.bring([zipped(tmp_path / "1.zip", **{"metadata.csv": "file_name,text\n"})], True, LIMITS)
    assert told.startswith("1.zip: ") and str(tmp_path) not in told


def test_a_label_that_is_saved_while_others_are_brought_stays(
    workspace: Workspace, picture: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace.bring([Upload(picture("old.png"), "old.png")], False, LIMITS)
    queue = LabelQueue(workspace.pictures)
    queue.refresh()
    view = View(current=File(workspace.pictures / "old.png", version_of(workspace.pictures / "old.png")))
    label = threading.Thread(target=queue.label, args=(view, "abc"))

    def checked(*args: Any) -> None:  # what was there has been read, and is to be written with what is new
        label.start()
        label.join(0.3)

    monkeypatch.setattr("crnn.tabs.workspace.check_limits", checked)
    assert workspace.bring([Upload(picture("new.png"), "new.png")], True, LIMITS) == []
    label.join()
    assert labels(workspace) == {"old.png": "abc", "new.png": "new"}


def test_odd_names_cost_no_label_that_is_there(
    workspace: Workspace, picture: Callable[[str], Path], tmp_path: Path
) -> None:
    screenshot = "Screenshot at 3.04\u202fPM.png"  # macOS sets a narrow space before PM
    archive = zipped(tmp_path / "1.zip", **{"s\u3000\U0001f469\u200d\U0001f52c.png": picture("0.png")})
    kept = {"GAT.png": "GAT", screenshot: "", "s\u3000\U0001f469\u200d\U0001f52c.png": "", "u.png": ""}
    assert workspace.bring([Upload(picture("1.png"), "GAT.png")], True, LIMITS) == []
    for upload in (Upload(picture("2.png"), screenshot), archive, Upload(picture("3.png"), " u.png")):
        assert workspace.bring([upload], False, LIMITS) == []
    for name in ("c:GAT.png", "G\u2028AT.png", "\u202egnp.png", "\udcff.png"):
        (told,) = workspace.bring([Upload(picture("4.png"), name)], True, LIMITS)
        assert told == f"{name}: Its name can't be stored; give it a short, plain name."
    assert labels(workspace) == kept


def test_a_damaged_table_is_not_written_over(workspace: Workspace, picture: Callable[[str], Path]) -> None:
    workspace.bring([Upload(picture("1.png"), "GAT.png")], True, LIMITS)
    table = workspace.pictures / "metadata.csv"
    table.write_bytes(b"file_name,text\nGAT.png,G\xff\n")
    damaged = table.read_bytes()
    (told,) = workspace.bring([Upload(picture("2.png"), "b.png")], True, LIMITS)
    assert told.startswith("metadata.csv is not UTF-8") and table.read_bytes() == damaged


def test_the_limits_hold_for_all_uploads_together(
    workspace: Workspace, picture: Callable[[str], Path], tmp_path: Path
) -> None:
    for i in range(6):
        assert not workspace.bring([Upload(picture(f"{i}.png"), f"{i}.png")], True, LIMITS)
    (told,) = workspace.bring([Upload(picture("7.png"), "7.png")], True, LIMITS)
    assert told.startswith("7 pictures came, and at most 6 can be taken") and len(labels(workspace)) == 6
    (tmp_path / "large.png").write_bytes(bytes(10**6))
    (told,) = workspace.bring([Upload(tmp_path / "large.png", "large.png")], True, Limits(megabytes=1))
    assert "1 MB" in told and str(tmp_path) not in told and "large.png" not in labels(workspace)


def test_a_name_that_the_disk_does_not_take_is_no_crash(workspace: Workspace, picture: Callable[[str], Path]) -> None:
    (told,) = workspace.bring([Upload(picture("a.png"), "n" * 300 + ".png")], True, LIMITS)
    assert told.endswith("give it a short, plain name.")
    assert workspace.bring([Upload(picture("a.png"), "../../a.png")], True, LIMITS) == []
    assert labels(workspace) == {"a.png": "a"}


def test_a_report_counts_what_has_no_label_apart(
    workspace: Workspace, picture: Callable[[str], Path], tmp_path: Path
) -> None:
    (tmp_path / "text").write_text("no picture")
    uploads = [Upload(picture(name), name) for name in ("ab.png", "ß.png", "_1.png")]
    workspace.bring([*uploads, Upload(tmp_path / "text", "broken.png")], True, LIMITS)
    report = workspace.report(Charset("abcdefghijklmnopqrstuvwxyz"), 48, 4)
    assert sorted(example.text for example in report.usable) == ["ab", "ß"]
    assert [problem.file for problem in report.problems] == ["broken.png"]
    assert (report.unlabelled, report.new_characters) == (1, "ß")


def test_drawn_pictures_are_others_each_time(open_trainings: Callable[..., TrainingQueue]) -> None:
    trainings = open_trainings(pictures=5)
    workspace = trainings.workspace(ANN)
    trainings.draw(workspace, 2, ["plain"])
    trainings.draw(workspace, 2, [])
    texts = list(labels(workspace).values())
    assert len(texts) == 4 and all(texts) and len({path.read_bytes() for path in workspace.pictures.glob("*.png")}) == 4
    with pytest.raises(ValueError, match="^6 pictures came, and at most 5 can be taken"):
        trainings.draw(workspace, 2, [])
    with pytest.raises(ValueError, match="^The 1 pictures could not be drawn"):
        trainings.draw(workspace, 1, ["no such style"])


def test_the_finished_checkpoint_is_packed_alone(workspace: Workspace, tmp_path: Path) -> None:
    workspace.run.mkdir()
    for name in ("config.json", "model.safetensors", "README.md", "progress.jsonl"):
        (workspace.run / name).write_text(name)
    workspace.pack(tmp_path / "packed.zip")
    with zipfile.ZipFile(tmp_path / "packed.zip") as packed:
        assert {name: packed.read(name).decode() for name in packed.namelist()} == {
            name: name for name in ("config.json", "model.safetensors", "README.md")
        }


def test_half_a_line_is_no_event(open_trainings: Callable[..., TrainingQueue]) -> None:
    trainings = open_trainings()
    workspace = trainings.workspace(ANN)
    workspace.run.mkdir()
    line = json.dumps({"event": "error", "sentence": "It is of no use."})
    (workspace.run / "progress.jsonl").write_text(line[:20])
    assert trainings.state(workspace).phase == "idle"
    (workspace.run / "progress.jsonl").write_text(line)
    assert trainings.state(workspace).phase == "failed"
