"""The Train tab's handlers as plain functions, what it shows, and its endpoint; the training is a stand-in."""

from __future__ import annotations

import json
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from PIL import Image

import app
from crnn.intake import Example, Problem
from crnn.recognizer import Recognizer
from crnn.tabs import learned, train
from crnn.tabs.read import PageError
from crnn.tabs.readers import Readers
from crnn.tabs.texts import TEXTS
from crnn.tabs.train import Seen, TrainHandlers
from crnn.tabs.training_queue import BusyError, QueueFullError, Rules, State, TrainingOptions, TrainingQueue
from crnn.tabs.workspace import Report, Upload, Workspace

TEXT = TEXTS["en"]
TOKEN = "visitor" * 5
PATIENCE_S = 30

# "Trains" at once: the result is the checkpoint that it began with.
STAND_IN = """
import json, shutil, sys
from pathlib import Path
checkpoint, run = Path(sys.argv[1]), Path(sys.argv[2])
shutil.copytree(checkpoint, run, dirs_exist_ok=True)
(run / "README.md").write_text("A card.")
before, after = {"exact": 0.5, "cer": 0.25}, {"exact": 1.0, "cer": 0.0}
events = [
    {"event": "start", "spent_s": 0.0},
    {"event": "before", **before},
    {"event": "step", "step": 1, "spent_s": 1.0, "left_s": 0.0, "share": 1.0, "loss": 0.5},
    {"event": "evaluated", "step": 1, "spent_s": 1.0, "loss": 0.5, "best": True, **after},
    {"event": "done", "reason": "time", "spent_s": 1.0, "before": before, "after": after, "held_out": [],
     "confusions_before": [], "confusions_after": []},
]
(run / "progress.jsonl").write_text("".join(json.dumps(event) + chr(10) for event in events))
"""
DIES = "raise SystemExit(1)"


@pytest.fixture
def reader(tiny_checkpoint: Path) -> Future[Recognizer]:
    future: Future[Recognizer] = Future()
    future.set_result(Recognizer.from_pretrained(tiny_checkpoint))
    return future


@pytest.fixture
def open_handlers(
    tmp_path: Path, tiny_checkpoint: Path, reader: Future[Recognizer]
) -> Iterator[Callable[..., TrainHandlers]]:
    """A function that makes what the tab needs, with a stand-in for the training."""
    opened: list[TrainingQueue] = []

    def open_one(script: str = STAND_IN, **rules: int) -> TrainHandlers:
        def command(workspace: Workspace, options: TrainingOptions, resume: bool) -> list[str]:
            return [sys.executable, "-c", script, str(tiny_checkpoint), str(workspace.run)]

        opened.append(TrainingQueue(tmp_path / f"trainings{len(opened)}", Rules(**rules), command))
        return TrainHandlers(opened[-1], reader, Readers(reader))

    yield open_one
    for one in opened:
        one.close()


def uploads(folder: Path, *names: str) -> list[Upload]:
    """Pictures of these names, each another one."""
    made = []
    for number, name in enumerate(names):
        path = folder / f"upload-{number}"
        pixels = np.random.default_rng(number).integers(0, 255, (48, 160, 3), np.uint8)
        Image.fromarray(pixels).save(path, format="PNG")
        made.append(Upload(path, name))
    return made


def trained(handlers: TrainHandlers, folder: Path, token: str = TOKEN) -> Workspace:
    """The workspace of somebody who has trained."""
    workspace = handlers.workspace(token, TEXT)
    assert not handlers.bring(workspace, uploads(folder, "12.png", "34.png"), True, "en")
    handlers.start(workspace, TrainingOptions(), TEXT)
    assert handlers.trainings.wait(workspace, PATIENCE_S).phase == "done"
    return workspace


# ---------------------------------------------------------------- what the visitor can do


def test_the_report_tells_what_came(open_handlers: Callable[..., TrainHandlers], tmp_path: Path) -> None:
    handlers = open_handlers()
    workspace = handlers.workspace(TOKEN, TEXT)
    assert TEXT["report_none"] in learned.report_html(handlers.report(workspace, TEXT), "en")
    (tmp_path / "text").write_text("no picture")
    said = handlers.bring(
        workspace, [*uploads(tmp_path, "ab.png", "3<.png", "_1.png"), Upload(tmp_path / "text", "<i>.png")], True, "en"
    )
    assert said == ""
    found = handlers.report(workspace, TEXT)
    assert learned.report_counts(found, "en") == ["Usable: 2.", "Not usable: 1.", "Without a label: 1."]
    report = learned.report_html(found, "en")
    assert "Usable: 2." in report and "Not usable: 1." in report and "Without a label: 1." in report
    assert "<code>&lt;</code>" in report and "&lt;i&gt;.png" in report and "<i>" not in report
    assert report.count('src="data:image/png;base64,') == 2 and str(workspace.folder) not in report


def test_what_could_not_be_brought_is_said(open_handlers: Callable[..., TrainHandlers], tmp_path: Path) -> None:
    handlers = open_handlers()
    workspace = handlers.workspace(TOKEN, TEXT)
    (tmp_path / "notes").write_text("hello")
    strange = [Upload(tmp_path / "notes", "<b>.txt"), Upload(tmp_path / "notes", "a.zip")]
    said = handlers.bring(workspace, strange, True, "en")
    assert said.startswith("&lt;b&gt;.txt: It is no picture") and said.count("<br>") == 1 and "a.zip: " in said
    assert handlers.bring(workspace, strange[:1], True, "de").startswith('Nicht möglich: <span lang="en">&lt;b&gt;.txt')


def test_too_few_pictures_are_said_before_anything_starts(
    open_handlers: Callable[..., TrainHandlers], tmp_path: Path
) -> None:
    handlers = open_handlers()
    workspace = handlers.workspace(TOKEN, TEXT)
    one, same = uploads(tmp_path, "Ab.png", "aB_2.png")
    for upload, count in ((one, 1), (same, 2)):
        handlers.bring(workspace, [upload], True, "en")
        with pytest.raises(PageError, match=f"^Pictures that can be trained on: {count}. Bring at least 2 "):
            handlers.start(workspace, TrainingOptions(), TEXT)
    assert handlers.trainings.state(workspace) == State()


def test_only_so_many_pictures_are_drawn(open_handlers: Callable[..., TrainHandlers]) -> None:
    handlers = open_handlers(pictures=3)
    workspace = handlers.workspace(TOKEN, TEXT)
    for count in (0, 4, -1, None, "2"):
        with pytest.raises(PageError, match=r"pictures were asked for: draw 1 to 3\.$"):
            handlers.draw(workspace, count, [], TEXT)
    handlers.draw(workspace, 2, ["plain", "no such style"], TEXT)
    assert len(handlers.report(workspace, TEXT).usable) == 2


def test_a_page_without_a_token_is_told_so(open_handlers: Callable[..., TrainHandlers]) -> None:
    for token in (None, "", "short", 3, ["x"] * 30):
        with pytest.raises(PageError, match="wait a second, or reload it"):
            open_handlers().workspace(token, TEXT)


def test_after_a_training_there_is_a_result_to_take(
    open_handlers: Callable[..., TrainHandlers], tmp_path: Path, tiny_checkpoint: Path
) -> None:
    handlers = open_handlers()
    workspace = trained(handlers, tmp_path)
    shown = handlers.show(workspace, Seen(), "en")
    assert shown.status == "The training is finished. Read right: 100 %; before the training: 50 %.".replace(
        " %", "\xa0%"
    )
    assert shown.result and "Before" in shown.result and not shown.state.active and shown.progress == ""
    assert shown.measures and "(best so far)" in shown.measures

    packed = handlers.checkpoint(workspace, TEXT)
    with zipfile.ZipFile(packed) as archive:
        archive.extractall(tmp_path / "unpacked")
    picture = np.zeros((48, 160, 3), np.uint8)
    assert Recognizer.from_pretrained(tmp_path / "unpacked").read(picture) == handlers.reader.result().read(picture)


def test_it_is_used_by_the_session_that_asked_and_by_no_other(
    open_handlers: Callable[..., TrainHandlers], tmp_path: Path
) -> None:
    handlers = open_handlers()
    workspace = trained(handlers, tmp_path)
    handlers.use(workspace, "ann", TEXT)
    handlers.trainings.remove(workspace)
    assert handlers.readers.has_own("ann") and not handlers.readers.has_own("bob")
    assert handlers.readers.of("ann").result().read(np.zeros((48, 160, 3), np.uint8)) is not None


def test_what_is_damaged_is_not_used(open_handlers: Callable[..., TrainHandlers], tmp_path: Path) -> None:
    handlers = open_handlers()
    workspace = trained(handlers, tmp_path)
    (workspace.run / "model.safetensors").write_bytes(b"nothing")
    with pytest.raises(ValueError, match="damaged, or gone"):
        handlers.use(workspace, "ann", TEXT)
    assert not handlers.readers.has_own("ann")


def test_what_is_removed_is_not_read_with_either(open_handlers: Callable[..., TrainHandlers], tmp_path: Path) -> None:
    handlers = open_handlers()
    workspace = trained(handlers, tmp_path)
    for session in ("ann", "bob"):
        handlers.use(workspace, session, TEXT)
    handlers.remove(workspace, "ann")
    assert not handlers.readers.has_own("ann") and handlers.readers.has_own("bob") and not workspace.folder.exists()


def test_without_a_result_there_is_nothing_to_take(open_handlers: Callable[..., TrainHandlers], tmp_path: Path) -> None:
    handlers = open_handlers()
    other = handlers.workspace("stranger" * 5, TEXT)
    trained(handlers, tmp_path)
    for take in (
        lambda: handlers.checkpoint(other, TEXT),
        lambda: handlers.use(other, "ann", TEXT),
        lambda: handlers.push(other, "a/b", "token", True, TEXT),
    ):
        with pytest.raises(PageError, match="^Nothing learnt is here any more: train again.$"):
            take()


def test_pushing_hands_over_the_checkpoint_and_the_token(
    open_handlers: Callable[..., TrainHandlers],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    handlers = open_handlers()
    workspace = trained(handlers, tmp_path)
    pushed: list[Any] = []
    monkeypatch.setattr("crnn.hub.push", lambda *arguments: pushed.append(arguments) or "https://hub/a/b")
    assert handlers.push(workspace, " a/b ", " hf_secret ", False, TEXT) == "https://hub/a/b"
    assert pushed == [(workspace.run, "a/b", "hf_secret", False)]
    assert "hf_secret" not in caplog.text + "".join(
        path.read_text(errors="replace") for path in workspace.folder.rglob("*") if path.is_file()
    )


def test_an_interrupted_training_goes_on_with_its_own_options(
    open_handlers: Callable[..., TrainHandlers], tmp_path: Path
) -> None:
    handlers = open_handlers(DIES)
    workspace = handlers.workspace(TOKEN, TEXT)
    handlers.bring(workspace, uploads(tmp_path, "12.png", "34.png"), True, "en")
    handlers.start(workspace, TrainingOptions(minutes=2, seed=9), TEXT)
    assert handlers.trainings.wait(workspace, PATIENCE_S).phase == "interrupted"
    assert handlers.show(workspace, Seen(), "en").status == TEXT["interrupted_anew"]
    handlers.resume(workspace)
    assert handlers.trainings.wait(workspace, PATIENCE_S).options == TrainingOptions(minutes=2, seed=9)


def test_every_error_is_one_sentence(caplog: pytest.LogCaptureFixture) -> None:
    def said(error: Exception, language: str = "en") -> str:
        return train.explained(TEXTS[language], language, error)

    assert said(BusyError("x")) == TEXT["busy"] and said(QueueFullError("x")) == TEXT["queue_full"]
    assert said(PageError("<b>")) == "&lt;b&gt;" and said(ValueError("No <b>.")) == "No &lt;b&gt;."
    assert said(ValueError("It is so."), "fr") == 'Impossible : <span lang="en">It is so.</span>'
    assert not caplog.records
    assert said(KeyError("secret")) == TEXT["train_failed"] and "secret" in caplog.text


def test_fields_become_an_order() -> None:
    assert train.options_of(2, "head", 3, 40) == TrainingOptions(2.0, "head", 3, 0.4)
    assert train.options_of(2, "--evil", None, None) == TrainingOptions(2.0, "all", 0, 0.0)


def test_a_number_below_0_is_no_order() -> None:
    with pytest.raises(ValueError, match="^The number for chance is -1; give 0 or more.$"):
        train.options_of(3, "all", -1, 60)


def test_uploads_keep_the_names_of_their_owners() -> None:
    values = [{"path": "/t/a1", "orig_name": "W7 k.png"}, {"path": "/t/b.png"}]
    assert train.uploads_of(values) == [Upload(Path("/t/a1"), "W7 k.png"), Upload(Path("/t/b.png"), "b.png")]
    assert train.uploads_of(None) == []


# ---------------------------------------------------------------- what is said while it runs


RUNNING = State(
    "running",
    options=TrainingOptions(),
    before={"exact": 0.5, "cer": 0.123},
    steps=[{"step": 4, "spent_s": 30.0, "left_s": 81.0, "share": 0.27, "loss": 0.75}],
    evaluated=[
        {"step": 2, "spent_s": 12.0, "loss": 0.9, "best": True, "exact": 0.625, "cer": 0.05},
        {"step": 4, "spent_s": 75.0, "loss": 1.0, "best": False, "exact": 0.5, "cer": 0.0625},
    ],
)


def plain(text: str) -> str:
    return text.replace("\xa0", " ")


def test_the_status_says_the_phase_the_time_left_and_what_is_right() -> None:
    said = [
        (State("queued", 2), "Waiting for another training. Place in the queue: 2."),
        (State("starting"), TEXT["starting"]),
        (replace(RUNNING, stopping=True), TEXT["ending"]),
        (RUNNING, "Training: 1 min 30 s left. Read right: 50 %; before the training: 50 %."),
        (replace(RUNNING, evaluated=[]), "Training: 1 min 30 s left."),
        (State("failed", sentence="<b> is bad."), "The training ended: &lt;b&gt; is bad."),
        (State("interrupted", resumable=True), TEXT["interrupted"]),
        (State("interrupted"), TEXT["interrupted_anew"]),
        (State(), ""),
    ]
    for state, sentence in said:
        assert plain(learned.status_line(state, "en")) == sentence
    assert plain(learned.status_line(RUNNING, "de")).startswith("Trainiert: noch 1 min 30 s. Richtig gelesen: 50 %")


def test_time_is_said_in_minutes_and_seconds() -> None:
    said = {0: "0 s", 59.6: "1 min", 60: "1 min", 61: "1 min 1 s", 600: "10 min"}
    assert {seconds: learned.duration(seconds, TEXT) for seconds in said} == said


def test_the_progress_bar_has_its_value_once_it_is_known() -> None:
    assert 'role="progressbar"' in (bar := learned.progress_html(RUNNING, "en"))
    assert 'aria-valuenow="27"' in bar and 'aria-valuemax="100"' in bar and TEXT["progress"] in bar
    assert "aria-valuenow" not in learned.progress_html(State("queued", 1), "en")
    assert learned.progress_html(State("done"), "en") == ""


def test_the_charts_stand_in_a_table_too() -> None:
    table = plain(learned.measures_html(RUNNING, "en"))
    rows = ["Before</th><td>50 %</td><td>12 %</td><td>–", "12 s (best so far)</th><td>62 %</td><td>5.0 %</td><td>0.900"]
    assert all(row in table for row in rows) and "1 min 15 s</th><td>50 %</td><td>6.2 %" in table
    many = replace(RUNNING, evaluated=[{**RUNNING.evaluated[0], "spent_s": float(i)} for i in range(100)])
    assert learned.measures_html(many, "en").count("<tr>") == 2 + learned.SHOWN_MEASURES
    losses = train.losses(RUNNING, TEXT)
    known = losses.dropna()
    assert list(known["loss"]) == [0.75, 0.9, 1.0] and list(known["kind"]) == ["in training", "measured", "measured"]
    first = train.losses(replace(RUNNING, evaluated=[]), TEXT)
    assert set(first["kind"]) == {"in training", "measured"}  # an open page draws no line that it learns of later
    assert list(train.exacts(RUNNING, TEXT)["exact"]) == [50.0, 62.5, 50.0]


def test_a_screen_reader_is_told_every_ten_seconds_at_most(
    open_handlers: Callable[..., TrainHandlers], monkeypatch: pytest.MonkeyPatch
) -> None:
    handlers = open_handlers()
    workspace = handlers.workspace(TOKEN, TEXT)
    state, now = RUNNING, 100.0
    monkeypatch.setattr(handlers.trainings, "state", lambda workspace: state)
    monkeypatch.setattr(time, "monotonic", lambda: now)
    seen, said = Seen(), []
    for _ in range(25):  # seconds
        shown = handlers.show(workspace, seen, "en")
        seen = shown.seen
        said.append(shown.status is not None)
        assert (shown.loss is not None) == (shown.measures is not None) == (len(said) == 1)  # as there is nothing new
        now += 1
    assert [second for second, spoken in enumerate(said) if spoken] == [0, 10, 20]
    state = replace(RUNNING, stopping=True)
    assert handlers.show(workspace, seen, "en").status == TEXT["ending"]  # what changes is said at once


# ---------------------------------------------------------------- what was learnt


def held_out(text: str, before: str, after: str, file: str = "a.png") -> dict[str, Any]:
    return {"file": file, "text": text, "before": before, "after": after}


def test_the_result_shows_what_got_better_and_what_got_worse(tmp_path: Path) -> None:
    (upload,) = uploads(tmp_path, "a.png")
    upload.path.rename(tmp_path / "a.png")
    done = {
        "before": {"exact": 0.25, "cer": 0.5},
        "after": {"exact": 0.5, "cer": 0.04},
        "held_out": [
            held_out("Ab", "xx", "ab", str(tmp_path / "elsewhere" / "a.png")),
            held_out("cd", "CD", "c<"),
            held_out("ef", "", "e"),
            held_out("gh", "gh", "gh"),
        ],
        "confusions_before": [["A", "<", 3], ["b", "", 2]],
        "confusions_after": [],
    }
    html = plain(learned.result_html(done, tmp_path, "en"))
    assert "Texts right</th><td>25 %</td><td>50 %" in html and "Characters wrong</th><td>50 %</td><td>4.0 %" in html
    fixed, broken, wrong = (
        html.index(heading)
        for heading in ("Wrong before, right now (1)", "Right before, wrong now (1)", "Still wrong (1)")
    )
    assert fixed < html.index("<code>Ab</code>") < broken < html.index("<code>c&lt;</code>") < wrong
    assert wrong < html.index("<code>ef</code></td><td><code>–</code>") and "<code>gh</code>" not in html
    assert html.count("data:image/png;base64,") == 3 and 'read as <code translate="no">&lt;</code>: 3' in html
    assert "read as nothing: 2" in html and "<td>None</td>" in html


def test_a_report_shows_some_pictures_and_problems_only(tmp_path: Path) -> None:
    (upload,) = uploads(tmp_path, "a.png")
    usable = [Example(upload.path, str(number)) for number in range(100)]
    problems = [Problem(f"{number}.png", "It is bad.") for number in range(60)]
    html = learned.report_html(Report(usable, problems), "en")
    assert html.count("<figure>") == 12 and ">0</code>" in html and ">91</code>" in html  # spread over all
    assert html.count("<tr>") == 1 + 50 and "And more: 10." in html
    assert 'lang="en">It is bad.' in learned.report_html(Report(usable, problems), "es")


def test_a_large_photo_is_shown_small() -> None:
    assert learned._small(np.zeros((1000, 3000, 3), np.uint8)).shape == (64, 192, 3)
    assert learned._small(np.zeros((100, 1000, 3), np.uint8)).shape == (32, 320, 3)
    assert learned._small(np.zeros((60, 160, 3), np.uint8)).shape == (60, 160, 3)


# ---------------------------------------------------------------- for programs


@pytest.fixture
def client(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reader: Future[Recognizer], tiny_checkpoint: Path
) -> Iterator[Client]:
    def command(workspace: Workspace, options: TrainingOptions, resume: bool) -> list[str]:
        return [sys.executable, "-c", STAND_IN, str(tiny_checkpoint), str(workspace.run)]

    monkeypatch.setenv("CRNN_TRAIN_FOLDER", str(tmp_path / "train"))
    monkeypatch.setenv("CRNN_TRAIN_MINUTES", "4")
    monkeypatch.setattr(app, "load_reader", lambda checkpoint=None: reader)
    monkeypatch.setattr(app, "training", lambda checkpoint=None: command)
    demo = app.build_demo()
    address = demo.launch(**app.launch_options(), prevent_thread_lock=True, quiet=True)[1]
    try:
        yield Client(address, verbose=False, download_files=str(tmp_path / "got"))
    finally:
        demo.close()


def test_programs_train_and_nothing_stays(client: Client, tmp_path: Path) -> None:
    archive = tmp_path / "pictures.zip"
    with zipfile.ZipFile(archive, "w") as opened:
        for upload in uploads(tmp_path, "12.png", "34.png", "56.png"):
            opened.write(upload.path, upload.name)
    job = client.submit(handle_file(archive), 2, api_name="/train")
    job.result(timeout=PATIENCE_S)
    *progress, result = job.outputs()
    assert all(set(one) == {"phase", "place", "share", "left_s", "loss", "exact"} for one in progress)
    assert result["before"] == {"exact": 0.5, "cer": 0.25} and result["reason"] == "time"
    with zipfile.ZipFile(result["checkpoint"]) as packed:
        assert sorted(packed.namelist()) == ["README.md", "config.json", "model.safetensors"]
    assert not list((tmp_path / "train").iterdir())

    useless = tmp_path / "useless.zip"
    with zipfile.ZipFile(useless, "w") as opened:
        opened.writestr("a.png", "no picture")
    for bad, minutes, sentence in (
        (handle_file(useless), 2, "^Pictures that can be trained on: 0. Bring at least 2 with different labels.$"),
        (handle_file(archive), 5, "^The training shall take 5 minutes; give more than 0 and at most 4.$"),
        (handle_file(upload.path), 2, "^pictures.zip: The zip can't be unpacked"),
        ({"path": "/etc/hostname"}, 2, "^The upstream Gradio app has raised"),  # would be read past Gradio's check
    ):
        with pytest.raises(AppError, match=sentence):
            client.predict(bad, minutes, api_name="/train")
    assert not list((tmp_path / "train").iterdir())


def test_a_bad_environment_gets_a_sentence_at_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRNN_TRAIN_MINUTES", "soon")
    monkeypatch.setattr(app, "load_reader", lambda checkpoint=None: Future())
    monkeypatch.setattr(sys, "argv", ["app.py"])
    monkeypatch.setattr(app.signal, "signal", lambda *arguments: None)
    with pytest.raises(SystemExit, match="^CRNN_TRAIN_MINUTES is 'soon'; set it to a whole number"):
        app.main()


def test_a_zip_may_be_as_large_as_the_rules_say_and_nothing_of_it_is_served(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRNN_TRAIN_MEGABYTES", "70")
    monkeypatch.setenv("CRNN_TRAIN_FOLDER", "/somewhere")
    options = app.launch_options()
    assert options["max_file_size"] == "70mb" and options["blocked_paths"] == ["/somewhere"]


def test_the_page_says_how_long_pictures_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRNN_TRAIN_KEEP_MINUTES", "45")
    monkeypatch.setattr(app, "load_reader", lambda checkpoint=None: Future())
    demo = app.build_demo()
    templates = [block.html_template for block in demo.blocks.values() if isinstance(block, gr.HTML)]
    assert [template for template in templates if "'45'" in template]
    assert all("{}" in texts["train_privacy"] for texts in TEXTS.values())
    json.dumps(demo.get_config_file(), default=str)
