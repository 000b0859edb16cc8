"""The Read tab's handlers as plain functions, with a reader that knows its answer; then what the page promises."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import Future
from html import unescape
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import gradio as gr
import numpy as np
import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from PIL import Image

import app
from crnn.decode import Alternative, Character, Reading
from crnn.recognizer import Look
from crnn.speech import SpeechError
from crnn.tabs import read, readers, result, session_cache, texts
from crnn.tabs.read import ReadHandlers, ReadOptions, Shown, Visitor
from crnn.tabs.readers import Readers
from crnn.tabs.session_cache import SessionCache
from crnn.tabs.texts import TEXTS

FOCUS = np.full((6, 40), 1 / 240, np.float32)
SURE = Character("A", 0.99, (0, 2), (Alternative("4", 0.01),), (0, 0, 30, 60), FOCUS)
DOUBTED = Character("0", 0.6, (4, 6), (Alternative("O", 0.4),), (40, 0, 70, 60), FOCUS)
READING = Reading("A0", 0.594, (SURE, DOUBTED), (Alternative("A0", 0.594), Alternative("AO", 0.396)))


TEXT = TEXTS["en"]
ENGLISH, GERMAN = Visitor("tab", "en"), Visitor("tab", "de")


class Reader:
    """Answers as told, and keeps what it was asked."""

    def __init__(self, answer: Reading | Exception = READING) -> None:
        self.answer = answer
        self.looks: list[np.ndarray] = []
        self.asked: list[dict[str, Any]] = []

    def look(self, picture: np.ndarray) -> Look:
        self.looks.append(picture)
        return Look(np.zeros((1, 1)), np.zeros((1, 1, 1)), None, 1.0)  # type: ignore[arg-type]

    def decode(self, look: Look, **asked: Any) -> Reading:
        self.asked.append(asked)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    def read(self, picture: np.ndarray, **asked: Any) -> Reading:
        return self.decode(self.look(picture), **asked)


def ready(reader: Reader) -> Future[Any]:
    future: Future[Any] = Future()
    future.set_result(reader)
    return future


def handlers(reader: Reader | None = None) -> ReadHandlers:
    return ReadHandlers(Readers(ready(reader or Reader())), SessionCache())


@pytest.fixture
def upload(tmp_path: Path) -> dict[str, str]:
    """What the page sends for a picture."""
    Image.new("RGB", (160, 60), "white").save(tmp_path / "picture.png")
    return {"path": str(tmp_path / "picture.png")}


@pytest.fixture
def spoken(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was said, in place of an engine."""
    said: list[str] = []
    monkeypatch.setattr(read, "synthesize", lambda text, rate, voice: said.append(text) or b"WAV")
    return said


def test_a_read_shows_the_text_at_once_and_then_the_rest(upload: dict[str, str], spoken: list[str]) -> None:
    busy, text, heard, drawn = handlers().read(ENGLISH, upload, ReadOptions())
    assert busy.status == TEXT["reading"]
    assert text.status == "Read: capital A, 0. Confidence 59 percent. Second character unsure."
    assert text.text.count("<button") == 3 and "Not sure" in text.text and not text.sound and not text.details
    assert spoken == ["capital A, 0. Second character: zero, or the capital letter O"]
    assert "autoplay" in heard.sound and 'src="data:audio/wav;base64,V0FW"' in heard.sound and not heard.details
    assert drawn.details.count("<img") == 3  # all, and each character's own
    assert drawn._replace(details="") == heard


def test_what_is_shown_of_a_reading() -> None:
    shown = result.details_html(np.zeros((60, 160, 3), np.uint8), READING, "en")
    assert 'alt="The picture, enlarged. A numbered box and a colour mark where it looked for each character: ' in shown
    assert "1 capital A, 2 0." in shown
    assert 'data-rival="O" data-number="1" aria-label="Change character 2 to capital O"' in shown
    assert "<li><code>AO</code>&nbsp;40\u00a0%</li>" in shown and "<li><code>A0</code>" not in shown


def test_nothing_is_called_certain_that_may_be_wrong() -> None:
    assert "Confidence 99 percent." in result.status_line(Reading("a", 0.9999), "en")
    assert "Confidence 100 percent." in result.status_line(Reading("a", 1.0), "en")


def test_the_wishes_reach_the_reader_and_the_voice(upload: dict[str, str], spoken: list[str]) -> None:
    reader = Reader()
    list(handlers(reader).read(ENGLISH, upload, ReadOptions("digits", "", 0, 6, True, "phonetic", "de")))
    assert reader.asked == [{"charset": "digits", "length": (1, 6), "ignore_case": True}]
    assert spoken[0].startswith("Alpha, null")
    assert ReadOptions("digits", own="01").constraints(TEXT)["charset"] == "01"


def test_no_wishes_are_no_constraints(upload: dict[str, str], spoken: list[str]) -> None:
    reader = Reader()
    list(handlers(reader).read(ENGLISH, upload, ReadOptions()))
    assert reader.asked == [{"charset": None, "length": None, "ignore_case": False}]


def test_a_read_before_the_model_is_there_waits_for_it(upload: dict[str, str], spoken: list[str]) -> None:
    future: Future[Any] = Future()
    steps = ReadHandlers(Readers(future), SessionCache()).read(ENGLISH, upload, ReadOptions())
    assert next(steps).status == TEXT["loading"]
    future.set_result(Reader())
    assert next(steps).status.startswith("Read: ")


def last_of(steps: Iterator[Shown]) -> Shown:
    return list(steps)[-1]


def test_bad_files_get_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("just text\n")
    (tmp_path / "empty.png").touch()
    Image.new("RGB", (1, 1)).save(tmp_path / "dot.png")
    for name in ("text.png", "empty.png", "dot.png", "gone.png"):
        shown = last_of(handlers().read(ENGLISH, {"path": str(tmp_path / name)}, ReadOptions()))
        assert shown == Shown(alert=shown.alert)
        assert shown.alert.endswith(".") and shown.alert.count(". ") == 0 and len(shown.alert) > 20
        assert str(tmp_path) not in shown.alert


@pytest.mark.parametrize("value", [None, {"path": None}, {"url": "data:,"}])
def test_no_picture_is_said(value: dict[str, Any] | None) -> None:
    assert last_of(handlers().read(ENGLISH, value, ReadOptions())).alert == TEXT["no_picture"]


def test_contradicting_bounds_are_said(upload: dict[str, str]) -> None:
    shown = last_of(handlers().read(ENGLISH, upload, ReadOptions(shortest=6, longest=4)))
    assert shown.alert == TEXT["length_order"].format(6, 4)


def test_characters_that_the_reader_does_not_know_are_said(upload: dict[str, str]) -> None:
    reader = Reader(ValueError("The charset 'é' has 'é', which this model can't read."))
    assert last_of(handlers(reader).read(ENGLISH, upload, ReadOptions(own="é"))).alert.startswith(
        "Change “What to expect”: The charset"
    )
    assert last_of(handlers(reader).read(GERMAN, upload, ReadOptions(own="é"))).alert.startswith(
        "Ändern Sie „Was zu erwarten ist“: <span"
    )


def test_a_reader_that_could_not_be_loaded_says_why(upload: dict[str, str]) -> None:
    future: Future[Any] = Future()
    future.set_exception(ValueError("there is no such checkpoint."))
    assert last_of(ReadHandlers(Readers(future), SessionCache()).read(ENGLISH, upload, ReadOptions())).alert == TEXT[
        "no_reader"
    ].format("there is no such checkpoint.")


def test_a_fault_of_ours_is_a_sentence_here_and_a_traceback_in_the_log(
    upload: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    assert last_of(handlers(Reader(RuntimeError("inner"))).read(ENGLISH, upload, ReadOptions())).alert == TEXT["failed"]
    assert "inner" in caplog.text


def test_without_a_voice_the_text_still_shows(upload: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    def mute(text: str, rate: int, voice: str | None) -> bytes:
        raise SpeechError("No voice was found: install <espeak-ng>.")

    monkeypatch.setattr(read, "synthesize", mute)
    shown = last_of(handlers().read(ENGLISH, upload, ReadOptions()))
    assert unescape(shown.alert) == TEXT["no_voice"].format("No voice was found: install <espeak-ng>.")
    assert "<" not in shown.alert
    assert shown.text and shown.details and not shown.sound


def test_nothing_found_is_said_and_drawn_nowhere(upload: dict[str, str], spoken: list[str]) -> None:
    shown = last_of(handlers(Reader(Reading("", 0.9))).read(ENGLISH, upload, ReadOptions()))
    assert shown.status == TEXT["status_nothing"] and TEXT["nothing"] in shown.text and not shown.details
    assert spoken == ["No text found."]


def test_a_text_is_never_taken_for_markup(upload: dict[str, str], spoken: list[str]) -> None:
    characters = tuple(Character(one, 0.9, (i, i + 1), (Alternative("<", 0.1),)) for i, one in enumerate("<b>&"))
    reader = Reader(Reading("<b>&", 0.9, characters, (Alternative("<b>", 0.1),)))
    shown = last_of(handlers(reader).read(ENGLISH, upload, ReadOptions()))
    assert 'data-copy="&lt;b&gt;&amp;"' in shown.text and ">&lt;</button>" in shown.text
    assert "<b>" not in "".join(shown)


def test_other_constraints_decode_again_without_another_look(upload: dict[str, str], spoken: list[str]) -> None:
    reader = Reader()
    page = handlers(reader)
    list(page.read(ENGLISH, upload, ReadOptions()))
    Path(upload["path"]).unlink()
    shown = last_of(page.decode(ENGLISH, ReadOptions(charset="upper")))
    assert shown.status.startswith("Read: ") and shown.sound
    assert [asked["charset"] for asked in reader.asked] == [None, "upper"] and len(reader.looks) == 1


def test_only_what_is_within_the_edges_is_read(upload: dict[str, str], spoken: list[str]) -> None:
    reader = Reader()
    list(handlers(reader).read(ENGLISH, upload, ReadOptions(), (25, 0, 75, 50)))  # of 160 x 60
    assert reader.looks[0].shape == (30, 80, 3)
    for edges in ((50, 0, 50, 100), (0, 80, 100, 20)):
        assert last_of(handlers(reader).read(ENGLISH, upload, ReadOptions(), edges)).alert == TEXT["crop_order"]


def test_a_correction_is_shown_said_and_can_be_taken_back(upload: dict[str, str], spoken: list[str]) -> None:
    page = handlers()
    list(page.read(ENGLISH, upload, ReadOptions()))
    shown = last_of(page.correct(ENGLISH, 1, "O", ReadOptions()))
    assert (
        shown.status == "Corrected: capital A, capital O. Confidence 99 percent."
    )  # 0.594 / 0.6: the user is sure of O
    assert 'data-copy="AO"' in shown.text and spoken[-1] == "capital A, capital O"
    assert 'data-rival="0" data-number="1"' in shown.details
    assert last_of(page.correct(ENGLISH, 1, "0", ReadOptions())).status.startswith("Corrected: capital A, 0.")


def test_other_expectations_cost_the_corrections_and_that_is_said(upload: dict[str, str], spoken: list[str]) -> None:
    page = handlers()
    list(page.read(ENGLISH, upload, ReadOptions()))
    list(page.correct(ENGLISH, 1, "O", ReadOptions()))
    assert last_of(page.say(ENGLISH, ReadOptions())).status.startswith("Corrected: capital A, capital O.")
    assert last_of(page.decode(ENGLISH, ReadOptions("upper"))).status.startswith(
        "Your corrections are gone, as all was decoded again. Read: capital A, 0."
    )
    assert last_of(page.decode(ENGLISH, ReadOptions("digits"))).status.startswith("Read: ")


def test_only_other_expectations_of_what_was_read_are_news(upload: dict[str, str], spoken: list[str]) -> None:
    page = handlers()
    assert not page.is_new(ENGLISH, ReadOptions("digits"))  # nothing was read
    list(page.read(ENGLISH, upload, ReadOptions("digits", longest=6)))
    assert not page.is_new(
        ENGLISH, ReadOptions("digits", own=None, shortest=None, longest=6, style="phonetic", rate=300)
    )
    assert page.is_new(ENGLISH, ReadOptions("digits", longest=5))
    list(page.decode(ENGLISH, ReadOptions("digits", longest=5)))
    assert not page.is_new(ENGLISH, ReadOptions("digits", longest=5))
    page.cache.drop("tab")  # after some minutes
    assert page.is_new(ENGLISH, ReadOptions("upper")) and not page.is_new(ENGLISH, ReadOptions("digits", longest=5))
    page.begin(ENGLISH)  # another picture is there, and waits
    assert not page.is_new(ENGLISH, ReadOptions("upper"))


def test_after_a_picture_that_fails_the_one_before_is_not_decoded_again(
    upload: dict[str, str], spoken: list[str], tmp_path: Path
) -> None:
    page = handlers()
    list(page.read(ENGLISH, upload, ReadOptions()))
    (tmp_path / "text.png").write_text("just text\n")
    list(page.read(ENGLISH, {"path": str(tmp_path / "text.png")}, ReadOptions()))
    assert last_of(page.decode(ENGLISH, ReadOptions())).alert == TEXT["picture_gone"]


def test_it_is_said_in_another_way_after_a_correction(upload: dict[str, str], spoken: list[str]) -> None:
    page = handlers()
    list(page.read(ENGLISH, upload, ReadOptions()))
    list(page.correct(ENGLISH, 1, "O", ReadOptions()))
    list(page.say(ENGLISH, ReadOptions(style="phonetic")))
    assert spoken[-1] == "capital Alpha, capital Oscar"


def test_what_was_read_stays_while_it_is_said_again(upload: dict[str, str], spoken: list[str]) -> None:
    """A page that was just opened gets its voice after a moment: by then a picture may have been read."""
    page = handlers()
    *_, before = page.read(ENGLISH, upload, ReadOptions())
    assert list(page.say(ENGLISH, ReadOptions(voice="other"))) == [before] and len(spoken) == 2


def test_sessions_are_not_mixed_up_and_are_forgotten(
    upload: dict[str, str], spoken: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session_cache, "SECONDS", 3)
    forgotten: list[str] = []
    page = ReadHandlers(Readers(ready(Reader())), SessionCache(forgotten.append))
    list(page.read(ENGLISH, upload, ReadOptions()))
    assert last_of(page.say(Visitor("another tab", "en"), ReadOptions())).alert == TEXT["picture_gone"]
    assert page.cache.get("tab")
    deadline = time.monotonic() + 10
    while not forgotten and time.monotonic() < deadline:
        time.sleep(0.05)
    assert forgotten == ["tab"] and page.cache.get("tab") is None
    assert last_of(page.correct(ENGLISH, 1, "O", ReadOptions())).alert == TEXT["picture_gone"]


def test_an_older_event_paints_nothing_over_a_later_picture(upload: dict[str, str], spoken: list[str]) -> None:
    page = handlers()
    list(page.read(ENGLISH, upload, ReadOptions()))
    corrected = page.correct(ENGLISH, 1, "O", ReadOptions())
    next(corrected)
    assert len(list(page.read(ENGLISH, upload, ReadOptions()))) == 4
    assert not list(corrected)
    first, second = (page.read(ENGLISH, upload, ReadOptions()) for _ in range(2))
    next(first)
    later = list(second)
    assert not list(first) and len(later) == 4
    kept = page.cache.get("tab")
    left = page.read(ENGLISH, upload, ReadOptions())
    next(left)
    page.leave("tab")
    assert kept and not list(left) and page.cache.get("tab") is None


def test_what_is_said_again_when_a_later_picture_comes_paints_nothing(
    upload: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    page = handlers()

    def speak(text: str, rate: int, voice: str | None) -> bytes:
        if voice == "slow":
            later.extend(page.read(ENGLISH, upload, ReadOptions()))
        return b"WAV"

    later: list[Shown] = []
    monkeypatch.setattr(read, "synthesize", speak)
    list(page.read(ENGLISH, upload, ReadOptions()))
    assert not list(page.say(ENGLISH, ReadOptions(voice="slow"))) and len(later) == 4


def test_what_is_gone_leaves_what_the_page_shows(upload: dict[str, str], spoken: list[str]) -> None:
    page = handlers()
    list(page.read(ENGLISH, upload, ReadOptions()))
    page.cache.drop("tab")
    for steps in (page.decode(ENGLISH, ReadOptions("digits")), page.correct(ENGLISH, 1, "O", ReadOptions())):
        (shown,) = steps
        assert shown.alert == TEXT["picture_gone"]
        assert all(value == gr.skip() for name, value in shown._asdict().items() if name != "alert")


def test_what_is_typed_into_a_slider_is_brought_within_its_bounds(upload: dict[str, str], spoken: list[str]) -> None:
    assert [read.rate_within(rate) for rate in (None, 2, 200, 9000)] == [150, 80, 200, 450]
    assert "audio" in last_of(handlers().read(ENGLISH, upload, ReadOptions(rate=None))).sound
    picture = np.zeros((60, 160, 3), np.uint8)
    assert read.cropped(picture, (None, 50, 1000, None), TEXT).shape == (30, 160, 3)
    assert read.cropped(picture, (25, 0, 75, 100), TEXT).base is None  # a copy: the rest is not kept
    settings = [True, True, "spell", "en", None, 60]
    assert read.restored(settings, None)[-1] == 80  # type: ignore[arg-type]


def test_the_page_reads_what_it_was_brought_alone(
    upload: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert read.brought(None) is None and read.brought({"path": None}) is None
    for other in (upload, {"path": "https://example.org/1.png"}, {"path": str(read.EXAMPLES / ".." / "x.png")}):
        assert read.brought(other) is None
    example = {"path": str(read.EXAMPLES / "x.png")}
    assert read.brought(example) is example
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    assert read.brought(upload) is upload


def test_what_was_put_later_is_kept_for_its_own_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session_cache, "SECONDS", 1.5)
    forgotten: list[str] = []
    caches = SessionCache[str](forgotten.append)
    for _ in range(4):
        caches.put("tab", "kept")
        time.sleep(0.6)
    assert caches.get("tab") == "kept" and not forgotten
    caches.drop("tab")
    assert caches.get("tab") is None and not forgotten


def test_a_picture_file_may_have_20_megabytes(upload: dict[str, str], spoken: list[str], tmp_path: Path) -> None:
    picture = tmp_path / "picture.png"
    with picture.open("r+b") as file:  # what comes after the end of a picture is no matter
        file.truncate(20 * 2**20)
        assert last_of(handlers().read(ENGLISH, upload, ReadOptions())).status.startswith("Read: ")
        file.truncate(20 * 2**20 + 1)
    shown = last_of(handlers().read(ENGLISH, upload, ReadOptions()))
    assert shown.alert == "The picture has 21 MB, and at most 20 MB can be read: crop it, or save it smaller."
    assert "höchstens 20 MB" in last_of(handlers().read(GERMAN, upload, ReadOptions())).alert


# ---------------------------------------------------------------- a session's own reader


@pytest.fixture
def own(monkeypatch: pytest.MonkeyPatch) -> Reader:
    """What is loaded in place of any checkpoint."""
    reader = Reader(Reading("A", 0.99, (SURE,)))
    monkeypatch.setattr(readers, "load", lambda folder: reader)
    return reader


def test_an_own_reader_reads_and_the_page_says_so(upload: dict[str, str], spoken: list[str], own: Reader) -> None:
    page = handlers()
    page.readers.use("tab", Path("run")).result(10)
    for shown in page.read(ENGLISH, upload, ReadOptions()):
        assert TEXT["own_reader"] in shown.reader
    assert shown.status.startswith("Read: capital A.") and len(own.looks) == 1
    assert TEXTS["de"]["own_reader"] in last_of(page.say(GERMAN, ReadOptions())).reader
    other = last_of(page.read(Visitor("another tab", "en"), upload, ReadOptions()))
    assert other.status.startswith("Read: capital A, 0.") and not other.reader and len(own.looks) == 1
    page.readers.back("tab")
    assert last_of(page.read(ENGLISH, upload, ReadOptions())) == other


def test_the_reader_that_looked_decodes_again_although_another_reads_now(
    upload: dict[str, str], spoken: list[str], own: Reader
) -> None:
    first = Reader()
    page = handlers(first)
    list(page.read(ENGLISH, upload, ReadOptions()))
    page.readers.use("tab", Path("run")).result(10)
    for again in (
        page.decode(ENGLISH, ReadOptions()),
        page.correct(ENGLISH, 0, "4", ReadOptions()),
        page.say(ENGLISH, ReadOptions()),
    ):
        assert not last_of(again).reader
    assert len(first.asked) == 2 and not own.asked
    assert last_of(page.read(ENGLISH, upload, ReadOptions())).reader
    page.readers.back("tab")
    assert last_of(page.decode(ENGLISH, ReadOptions())).reader  # what is shown is still of the own one
    assert len(first.asked) == 2 and len(own.asked) == 2


def test_an_own_reader_that_cannot_be_loaded_says_why(
    upload: dict[str, str], spoken: list[str], tmp_path: Path
) -> None:
    page = handlers()
    page.readers.use("tab", tmp_path / "nowhere")
    shown = last_of(page.read(ENGLISH, upload, ReadOptions()))
    assert shown.alert.startswith("The reader could not be started: The fine-tuned reader&#x27;s files are damaged")
    page.readers.back("tab")
    assert not last_of(page.read(ENGLISH, upload, ReadOptions())).alert


# ---------------------------------------------------------------- languages


@pytest.mark.parametrize("language", TEXTS)
def test_every_text_is_there_in_every_language_with_the_same_gaps(language: str) -> None:
    assert list(TEXTS[language]) == list(TEXT)
    for name, text in TEXTS[language].items():
        assert text and (text.count("{}") == TEXT[name].count("{}"))


def test_a_reading_is_announced_in_the_language_of_the_page(upload: dict[str, str], spoken: list[str]) -> None:
    shown = last_of(handlers().read(GERMAN, upload, ReadOptions()))
    assert shown.status == "Gelesen: großes A, 0. Sicher zu 59 Prozent. Zweites Zeichen unsicher."
    assert 'aria-label="2: 0, 60 Prozent, unsicher"' in shown.text
    assert spoken == ["capital A, 0. Second character: zero, or the capital letter O"]  # which is a choice of its own


def test_a_sentence_known_in_english_alone_is_marked_so(tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("just text\n")
    shown = last_of(handlers().read(GERMAN, {"path": str(tmp_path / "text.png")}, ReadOptions()))
    assert shown.alert.startswith('Dieses Bild ist nicht lesbar: <span lang="en">The file is not a picture')


@pytest.mark.parametrize(
    ("accepted", "language"),
    [("de-CH,en;q=0.8", "de"), ("fr", "fr"), ("pl,de;q=0.9", "en"), ("est", "en"), ("", "en"), ("ES-mx", "es")],
)
def test_the_first_language_of_the_browser_counts(accepted: str, language: str) -> None:
    assert texts.language_of(gr.Request(headers={"accept-language": accepted})) == language


def test_voices_are_offered_by_language_and_settings_are_restored() -> None:
    request = gr.Request(headers={"accept-language": "fr-FR"})
    auto, shortcuts, style, language, voice, rate = read.restored(None, request)
    assert language == "fr" and auto == shortcuts == style == rate == gr.skip()  # perhaps changed meanwhile
    assert voice.value == "roa/fr" and len(voice.choices) >= 2
    assert read.voice_field("fr", "roa/fr-be").value == "roa/fr-be"
    assert read.voice_field("de", "roa/fr-be").value == "gmw/de"  # gone, or of another language
    assert read.restored([False, False, "plain", "es", "roa/es-419", 200], request)[4].value == "roa/es-419"


def test_without_an_engine_there_are_no_voices(monkeypatch: pytest.MonkeyPatch) -> None:
    def none() -> tuple[()]:
        raise SpeechError("No voice was found.")

    monkeypatch.setattr(read, "voices", none)
    assert (read.voice_field("en").value, read.voice_field("en").choices) == (None, [])


def test_examples_come_with_their_texts(tmp_path: Path) -> None:
    (tmp_path / "metadata.csv").write_text('file_name,text\n1.png,"a,b"\n2.png,x\n', encoding="utf-8")
    assert read.examples(tmp_path) == [(tmp_path / "1.png", "a,b"), (tmp_path / "2.png", "x")]
    assert read.examples(tmp_path / "none") == []


# ---------------------------------------------------------------- what the page promises


@pytest.fixture
def demo(monkeypatch: pytest.MonkeyPatch) -> gr.Blocks:
    monkeypatch.setattr(app, "load_reader", lambda checkpoint=None: ready(Reader()))
    return app.build_demo()


def test_files_are_deleted_within_the_time_that_the_page_promises(demo: gr.Blocks) -> None:
    assert "five minutes" in TEXT["privacy"] and sum(demo.delete_cache or (0,)) == 5 * 60
    assert not demo.analytics_enabled
    options = app.launch_options()
    assert options["run_history"] is False and options["enable_monitoring"] is False


def test_programs_and_pages_wait_in_queues_of_their_own(demo: gr.Blocks) -> None:
    shared: dict[str, set[Any]] = {}
    for function in demo.fns.values():
        if function.queue:
            shared.setdefault(function.concurrency_id, set()).add(function.concurrency_limit)
    assert shared["read"] == shared["pictures"] == {2}  # Gradio takes the lowest of a group
    (program,) = [function for function in demo.fns.values() if function.api_name == "read"]
    assert program.concurrency_id != "read" and program.concurrency_limit == 2


def test_programs_read_and_speak_and_no_file_stays(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, upload: dict[str, str]
) -> None:
    cache, shown = tmp_path / "cache", tmp_path / "examples"
    shown.mkdir()
    (shown / "metadata.csv").write_text("file_name,text\n1.png,A0\n")
    Image.new("RGB", (160, 60), "white").save(shown / "1.png")
    monkeypatch.setattr(read, "EXAMPLES", shown)
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(cache))
    monkeypatch.setattr(app, "DELETE_FILES", (1, 3))
    monkeypatch.setattr(app, "load_reader", lambda checkpoint=None: ready(Reader()))
    monkeypatch.setattr(read, "synthesize", lambda text, rate: f"{text} at {rate}".encode())
    demo = app.build_demo()
    address = demo.launch(**app.launch_options(), prevent_thread_lock=True, quiet=True)[1]
    try:
        client = Client(address, verbose=False, download_files=str(tmp_path / "got"))
        assert client.predict(handle_file(upload["path"]), api_name="/read") == READING.as_dict()
        sound = client.predict("A0", style="phonetic", rate=200, api_name="/speak")
        assert Path(sound).read_bytes() == b"capital Alpha, zero at 200"
        for unmarked in ({"path": "/etc/hostname"}, {"path": upload["path"]}):  # would be read past Gradio's check
            with pytest.raises(AppError):
                client.predict(unmarked, api_name="/read")
        with pytest.raises(AppError, match="style"):
            client.predict("A0", style="loud", api_name="/speak")
        with pytest.raises(AppError, match="give the file itself"):  # nothing is fetched
            client.predict(handle_file(f"{address}static/img/logo.svg"), api_name="/read")
        deadline = time.monotonic() + 60
        while files(cache) and time.monotonic() < deadline:
            time.sleep(0.2)
        assert not files(cache)
        thumbnail = next(block.icon for block in demo.blocks.values() if getattr(block, "icon", None))
        with urlopen(address.rstrip("/") + thumbnail["url"]) as answer:  # the examples do stay
            assert answer.read() == (shown / "1.png").read_bytes()
    finally:
        demo.close()


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]
