"""The whole job in a browser: a picture in; text, overlay, sound and announcement out; for everyone."""

from __future__ import annotations

import base64
import io
import re
import threading
import time
import wave
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Locator, Page, expect

from crnn.decode import Alternative, Character, Reading
from crnn.tabs import read, session_cache
from crnn.tabs.read import EXAMPLES, examples
from crnn.tabs.texts import LANGUAGES, TEXTS

from .conftest import PATIENCE, App, Upload

Serve = Callable[[Future[Any]], gr.Blocks]
TEXT = TEXTS["en"]
SCREENS = {"light": {}, "dark": {"dark": True}, "narrow": {"width": 320, "height": 640}}
LOADED_SIZE = "async image => { await image.decode(); return [image.naturalWidth, image.naturalHeight] }"
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]  # axe-core's tags; 2.2 A adds no automatic rule
SMALLEST = 24  # px, WCAG 2.5.8
SIDES = """its => its.map(it => {
    const box = it.getBoundingClientRect();
    return [Math.min(box.width, box.height), it.outerHTML];
})"""

COPY = """async (base64) => {
    const bytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
    await navigator.clipboard.write([new ClipboardItem({ "image/png": new Blob([bytes], { type: "image/png" }) })]);
}"""


def bring(page: Page, path: Path) -> None:
    page.locator("#bring input[type=file]").set_input_files(path)


def copy(page: Page, path: Path) -> None:
    """Put a picture into the clipboard, as another program would; the page needs to be open with `clipboard`."""
    page.evaluate(COPY, base64.b64encode(path.read_bytes()).decode())


def finished(page: Page, said: str = "Read: ") -> None:
    """Wait until a read is shown and spoken; the first one waits for the model too."""
    expect(status(page)).to_have_text(re.compile(f"^{said}"))
    expect(page.locator("#result audio")).to_be_attached()


def unfold(page: Page, name: str) -> None:
    """Open what is folded up. Gradio gives its fields what they hold a moment later; no hand is so quick."""
    page.get_by_role("button", name=TEXT[name]).click()
    page.evaluate("new Promise((done) => setTimeout(done, 300))")


def status(page: Page) -> Locator:
    return page.get_by_role("status").first


def alert(page: Page) -> Locator:
    return page.get_by_role("alert")


def test_a_picture_is_read_shown_spoken_and_announced(open_page: Callable[..., Page], upload: Upload) -> None:
    page = open_page()
    bring(page, upload.path)
    finished(page)

    assert page.locator("#result .text").inner_text() == upload.text
    assert re.fullmatch(r"Read: .+\. Confidence \d+ percent\.( \w+ \w+ unsure\.)*", status(page).inner_text())
    expect(alert(page)).to_be_empty()

    overlay = page.get_by_role("img", name=re.compile("mark where it looked for each character"))
    width, height = overlay.evaluate(LOADED_SIZE)
    assert width > 300 and height > 60

    page.wait_for_function(
        "() => { const sound = document.querySelector('#result audio'); return sound.currentTime > 0 }"
    )
    assert loudness(page) > 300


def loudness(page: Page) -> float:
    """Root mean square of the sound that the page plays; full scale is 32,768."""
    fetch = """async sound => {
        const bytes = new Uint8Array(await (await fetch(sound.src)).arrayBuffer());
        return btoa(bytes.reduce((text, byte) => text + String.fromCharCode(byte), ""));
    }"""
    wav = base64.b64decode(page.locator("#result audio").evaluate(fetch))
    with wave.open(io.BytesIO(wav)) as sound:
        samples = np.frombuffer(sound.readframes(sound.getnframes()), np.int16)
        assert len(samples) > sound.getframerate() / 2  # half a second at least
    return float(np.sqrt(np.mean(samples.astype(float) ** 2)))


class Reader:
    """Sees in any picture the same, so that the page does not change with the weights."""

    def look(self, picture: np.ndarray) -> None:
        """There is nothing to keep."""

    def decode(self, look: None, **constraints: Any) -> Reading:
        focus = np.full((6, 40), 1 / 240, np.float32)
        sure = Character("A", 0.99, (0, 2), (Alternative("4", 0.01),), (0, 0, 30, 60), focus)
        doubted = Character("0", 0.6, (4, 6), (Alternative("O", 0.3), Alternative("D", 0.1)), (40, 0, 70, 60), focus)
        return Reading("A0", 0.594, (sure, doubted), (Alternative("AO", 0.297), Alternative("AD", 0.099)))


def ready() -> Future[Any]:
    future: Future[Any] = Future()
    future.set_result(Reader())
    return future


def test_a_finished_read_reads_like_a_sentence(open_page: Callable[..., Page], serve: Serve, upload: Upload) -> None:
    """What a screen reader finds on the whole page: names, roles and states, in their order."""
    page = open_page(address=serve(ready()).local_url)
    bring(page, upload.path)
    expect(page.locator("#result [data-map='all']")).to_be_visible()
    expected = Path(__file__).with_name("finished_read.yml").read_text(encoding="utf-8")
    assert page.locator("main").aria_snapshot().strip() == expected.strip()


def test_the_server_forgets_as_the_page_promises(
    open_page: Callable[..., Page], serve: Serve, monkeypatch: pytest.MonkeyPatch, upload: Upload
) -> None:
    monkeypatch.setattr(session_cache, "SECONDS", 3)  # in place of four minutes
    demo = serve(ready())
    page = open_page(address=demo.local_url)
    bring(page, upload.path)
    expect(page.locator("#result [data-map='all']")).to_be_visible()

    def remembered() -> bool:  # Gradio keeps the last value of each component for each session
        kept = [session.config_values for session in demo.state_holder.session_data.values()]
        return "data:audio" in str(kept) or "data:image" in str(kept)

    deadline = time.monotonic() + PATIENCE
    while remembered() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not remembered()
    page.locator("[data-rival]").first.click()
    expect(alert(page)).to_have_text(TEXT["picture_gone"])


# ---------------------------------------------------------------- what can go wrong


def test_a_broken_file_gets_a_sentence_and_the_page_goes_on(
    open_page: Callable[..., Page], app: App, broken: Path, upload: Upload
) -> None:
    page = open_page()
    bring(page, broken)
    expect(alert(page)).to_have_text(re.compile(r"^[A-Z][^.]+ picture[^.]+\.$"))
    expect(page.locator("#result .text")).to_have_count(0)
    assert "Traceback" not in app.log.read_text() + page.content()

    page.get_by_role("button", name="Remove Image").click()
    expect(alert(page)).to_be_empty()
    bring(page, upload.path)
    finished(page)
    expect(alert(page)).to_be_empty()


def test_an_empty_clipboard_gets_a_sentence(open_page: Callable[..., Page], upload: Upload) -> None:
    page = open_page(clipboard=True)
    page.evaluate("navigator.clipboard.writeText('no picture')")
    deadline = time.monotonic() + PATIENCE
    while (
        not alert(page).inner_text() and time.monotonic() < deadline
    ):  # on a busy machine the page may hear no key yet
        page.keyboard.press("Control+V")
        page.wait_for_timeout(500)
    expect(alert(page)).to_have_text(TEXT["empty_clipboard"])
    copy(page, upload.path)
    page.get_by_role("button", name=TEXT["paste"]).click()
    finished(page)
    expect(alert(page)).to_be_empty()


def test_a_refused_clipboard_gets_a_sentence(open_page: Callable[..., Page]) -> None:
    page = open_page(clipboard=False)
    page.get_by_role("button", name=TEXT["paste"]).click()
    expect(alert(page)).to_have_text(TEXT["clipboard_denied"])


@pytest.mark.parametrize(("refusal", "problem"), [("NotAllowedError", "camera_denied"), ("NotFoundError", "no_camera")])
def test_a_refused_camera_gets_a_sentence(open_page: Callable[..., Page], refusal: str, problem: str) -> None:
    page = open_page()
    page.evaluate(
        "name => { navigator.mediaDevices.getUserMedia = async () => { throw new DOMException('', name) } }", refusal
    )
    page.get_by_role("button", name="Capture from camera").click()
    page.get_by_role("button", name=re.compile("access webcam", re.IGNORECASE)).click()
    expect(alert(page)).to_have_text(TEXT[problem])


# ---------------------------------------------------------------- by keyboard


def test_the_whole_job_by_keyboard(open_page: Callable[..., Page], upload: Upload) -> None:
    """Paste, hear, move through the characters, correct one, hear it slower, copy."""
    page = open_page(clipboard=True)
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name=TEXT["skip"])).to_be_focused()
    assert page.get_by_role("link", name=TEXT["skip"]).bounding_box()["x"] >= 0  # seen once it has the focus

    copy(page, upload.path)
    page.keyboard.press("Control+V")
    finished(page)
    page.wait_for_function("document.querySelector('#result audio').currentTime > 0")

    page.keyboard.press("t")
    expect(page.locator("#character-0")).to_be_focused()
    expect(page.locator("[data-map='0']")).to_be_visible()
    page.keyboard.press("ArrowRight")
    expect(page.locator("#character-1")).to_be_focused()
    expect(page.locator("[data-map='1']")).to_be_visible()
    expect(page.locator("[data-map='0'], [data-map='all']")).to_have_count(2)
    expect(page.locator("[data-map]:visible")).to_have_count(1)
    page.keyboard.press("Enter")
    expect(page.locator("#character-1")).to_have_attribute("aria-pressed", "true")

    rival = page.locator("[data-rival]").first
    letter, number = rival.get_attribute("data-rival"), int(rival.get_attribute("data-number"))
    for _ in range(40):
        page.keyboard.press("Tab")
        if rival.evaluate("button => button === document.activeElement"):
            break
    page.keyboard.press("Enter")
    finished(page, "Corrected: ")
    corrected = upload.text[:number] + letter + upload.text[number + 1 :]
    expect(page.locator("#result .text")).to_have_text(corrected)
    expect(page.locator(f"#character-{number}")).to_be_focused()

    page.wait_for_function("document.querySelector('#result audio').currentTime > 0")
    page.keyboard.press("s")
    page.wait_for_function("document.querySelector('#result audio').playbackRate < 0.8")
    page.keyboard.press("r")
    page.wait_for_function("document.querySelector('#result audio').playbackRate === 1")
    page.keyboard.press("c")
    expect(page.locator("#told")).to_have_text(TEXT["copied"])
    assert page.evaluate("navigator.clipboard.readText()") == corrected


def test_the_same_picture_pasted_again_is_read_again(open_page: Callable[..., Page], upload: Upload) -> None:
    page = open_page(clipboard=True)
    copy(page, upload.path)
    page.keyboard.press("Control+V")
    overlay = page.locator("#result [data-map='all']")
    expect(overlay).to_be_visible()
    overlay.evaluate("image => image.remove()")
    page.keyboard.press("Control+V")
    expect(overlay).to_be_visible()


def test_single_keys_can_be_switched_off_and_stay_off(open_page: Callable[..., Page], upload: Upload) -> None:
    page = open_page()
    bring(page, upload.path)
    finished(page)
    switch = page.get_by_role("checkbox", name=TEXT["shortcuts"])
    page.evaluate(COUNT_KEPT)
    switch.uncheck()
    page.keyboard.press("t")
    page.wait_for_timeout(200)
    expect(switch).to_be_focused()
    page.wait_for_function("kept >= 1")
    page.reload()
    expect(switch).not_to_be_checked()


def test_a_key_typed_into_a_field_is_only_text(open_page: Callable[..., Page], upload: Upload) -> None:
    page = open_page()
    bring(page, upload.path)
    finished(page)
    page.get_by_role("button", name=TEXT["expect"]).click()
    field = page.get_by_label(TEXT["own"])
    field.press("t")
    expect(field).to_be_focused()
    expect(field).to_have_value("t")


def test_the_focus_is_not_lost_with_its_button(open_page: Callable[..., Page], upload: Upload) -> None:
    page = open_page()
    bring(page, upload.path)
    finished(page)
    page.get_by_role("button", name="Remove Image").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Remove Image")).to_have_count(0)
    page.wait_for_function("document.activeElement.closest('#bring')")


# ---------------------------------------------------------------- what the page can do


def test_other_constraints_decode_again_at_once(open_page: Callable[..., Page], upload: Upload) -> None:
    page = open_page()
    page.get_by_role("button", name=TEXT["read"], exact=True).click()
    expect(alert(page)).to_have_text(TEXT["no_picture"])
    bring(page, upload.path)
    finished(page)
    page.get_by_role("button", name=TEXT["expect"]).click()
    text = page.locator("#result .text")
    page.get_by_role("radio", name=TEXT["digits"], exact=True).check()
    expect(text).to_have_text(re.compile(r"^\d+$"))
    page.get_by_label(TEXT["shortest"]).fill("3")
    page.get_by_label(TEXT["longest"]).fill("3")
    page.keyboard.press("Enter")
    expect(text).to_have_text(re.compile(r"^\d{3}$"))
    own = page.get_by_label(TEXT["own"])
    own.press_sequentially("xyz")
    expect(text).to_have_text(re.compile(r"^\d{3}$"))  # what is half typed is not decoded, nor spoken
    own.press("Backspace")
    own.press("Tab")
    expect(text).to_have_text(re.compile(r"^[xy]{3}$"))
    own.fill("")
    own.press("Tab")
    expect(text).to_have_text(re.compile(r"^\d{3}$"))
    finished(page)
    page.evaluate(
        "window.told = [1]; new MutationObserver(() => told.push(1)).observe("
        "document.querySelector('#status [role=status]'), {subtree: true, childList: true, characterData: true})"
    )
    while page.evaluate("told.splice(0).length"):  # until all of the last decoding is there
        page.wait_for_timeout(1000)
    own.focus()
    own.press("Tab")  # nothing has changed, so nothing is announced
    page.wait_for_timeout(1000)
    assert page.evaluate("told") == []


def test_a_picture_waits_when_reading_by_itself_is_off(open_page: Callable[..., Page], upload: Upload) -> None:
    page = open_page()
    page.get_by_role("checkbox", name=TEXT["auto"]).uncheck()
    bring(page, upload.path)
    expect(status(page)).to_have_text(TEXT["press_read"])
    page.get_by_role("button", name=TEXT["expect"]).click()
    page.get_by_label(TEXT["ignore_case"]).check()  # nor is it read because of other wishes
    page.get_by_label(TEXT["ignore_case"]).uncheck()
    page.wait_for_timeout(1000)
    expect(status(page)).to_have_text(TEXT["press_read"])
    page.get_by_role("button", name=TEXT["read"], exact=True).click()
    finished(page)
    expect(page.locator("#result .text")).to_have_text(upload.text)


def test_what_is_changed_before_the_page_has_its_settings_stays(
    open_page: Callable[..., Page], serve: Serve, upload: Upload, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, changed, restored = threading.Event(), threading.Event(), read.restored

    def late(settings: list[Any] | None, request: gr.Request) -> list[Any]:
        asked.set()
        assert changed.wait(PATIENCE)
        return restored(settings, request)

    monkeypatch.setattr(read, "restored", late)
    page = open_page(address=serve(Future()).local_url)
    auto = page.get_by_role("checkbox", name=TEXT["auto"])
    assert asked.wait(PATIENCE)
    auto.uncheck()
    changed.set()
    unfold(page, "say")
    expect(page.get_by_role("combobox", name=TEXT["voice"])).to_have_value(re.compile("^English"))  # they are there
    expect(auto).not_to_be_checked()


def test_only_the_part_within_the_edges_is_read(open_page: Callable[..., Page], upload: Upload) -> None:
    page = open_page()
    bring(page, upload.path)
    finished(page)
    unfold(page, "crop")
    page.get_by_role("spinbutton", name=re.compile(TEXT["right"])).fill("50")
    expect(page.locator("#result .text")).not_to_have_text(upload.text)
    finished(page)
    part = page.locator("#result .text").inner_text()
    assert 0 < len(part) < len(upload.text)


COUNT_KEPT = """() => {  // how often the settings were kept in this browser
    window.kept = 0;
    const keep = Storage.prototype.setItem;
    Storage.prototype.setItem = function (...item) { keep.apply(this, item); window.kept += 1; };
}"""
SLOWED = """() => {  // lest the sound is over before a busy machine stops it
    const audio = document.querySelector("#result audio");
    audio.playbackRate = 0.1;
    return !audio.paused;
}"""


def silenced(page: Page) -> None:
    """Wait until the page speaks, and stop it by its key."""
    page.wait_for_function(SLOWED)
    page.keyboard.press("Escape")
    assert page.evaluate("(({ paused, ended }) => paused && !ended)(document.querySelector('#result audio'))")


def test_voice_rate_and_language_are_heard_and_remembered(open_page: Callable[..., Page], upload: Upload) -> None:
    page = open_page()
    bring(page, upload.path)
    finished(page)
    sound = "document.querySelector('#result audio')?.src"  # there is none until it is spoken
    first = page.evaluate(sound)
    unfold(page, "say")
    page.evaluate(COUNT_KEPT)
    page.get_by_role("radio", name="Español").check()
    expect(page.get_by_role("combobox", name=TEXT["voice"])).to_have_value(re.compile("^Spanish"))
    page.wait_for_function(f"first => {sound} && {sound} !== first", arg=first)
    spanish = page.evaluate(sound)
    page.get_by_role("radio", name=TEXT["phonetic"]).check()
    page.wait_for_function(f"last => {sound} && {sound} !== last", arg=spanish)
    spelled = page.evaluate(sound)
    page.wait_for_function("kept >= 2")
    silenced(page)  # the focus is on a radio button
    rate = page.get_by_role("spinbutton", name=re.compile(TEXT["rate"]))
    rate.fill("")
    rate.press_sequentially("12")
    page.wait_for_timeout(1000)
    assert page.evaluate(sound) == spelled  # nobody asked for so slow a voice: it is half typed
    rate.press("0")
    page.wait_for_function(f"last => {sound} && {sound} !== last", arg=spelled)
    page.get_by_role("button", name=TEXT["play"]).click()
    silenced(page)
    page.reload()
    unfold(page, "say")
    expect(page.get_by_role("radio", name="Español")).to_be_checked()
    expect(page.get_by_role("radio", name=TEXT["phonetic"])).to_be_checked()


def test_in_other_languages_the_page_is_english_and_says_so(open_page: Callable[..., Page]) -> None:
    page = open_page(language="nl")
    expect(page.get_by_role("heading", level=1)).to_have_text(TEXT["title"])
    expect(page.locator("html")).to_have_attribute("lang", "en")


@pytest.mark.parametrize("language", [language for language in TEXTS if language != "en"])
def test_the_page_speaks_the_language_of_the_browser(
    open_page: Callable[..., Page], language: str, upload: Upload
) -> None:
    page, texts = open_page(language=language), TEXTS[language]
    expect(page.get_by_role("heading", level=1)).to_have_text(texts["title"])
    expect(page).to_have_title(texts["title"])
    assert page.evaluate("document.documentElement.lang") == language
    bring(page, upload.path)
    finished(page, texts["status_read"].split("{}")[0])
    page.get_by_role("button", name=texts["expect"]).click()
    expect(page.get_by_role("radio", name=texts["digits"], exact=True)).to_be_visible()
    page.get_by_role("button", name=texts["say"]).click()
    expect(page.get_by_role("radio", name=LANGUAGES[language])).to_be_checked()
    check(page, language)


def test_each_example_has_a_name_and_is_read(open_page: Callable[..., Page]) -> None:
    page = open_page()
    for _, text in examples(EXAMPLES):
        button = page.get_by_role("button", name=f"{TEXT['example']} {text}", exact=True)
        assert button.locator("img").evaluate(LOADED_SIZE)[0] > 0
        button.click()
        expect(page.locator("#result .text")).to_have_text(text)


# ---------------------------------------------------------------- accessibility


@pytest.mark.parametrize("screen", SCREENS)
def test_no_accessibility_rule_is_broken(
    open_page: Callable[..., Page], screen: str, upload: Upload, broken: Path
) -> None:
    page = open_page(**SCREENS[screen])
    check(page, "empty")
    page.get_by_role("button", name="Capture from camera").click()
    page.get_by_role("button", name=re.compile("access webcam", re.IGNORECASE)).wait_for()
    check(page, "camera")
    page.get_by_role("button", name="Upload file").click()
    bring(page, upload.path)
    finished(page)
    check(page, "result")
    for options in ("crop", "expect", "say"):
        page.get_by_role("button", name=TEXT[options]).click()
    expect(page.get_by_label(TEXT["voice"])).to_be_visible()
    check(page, "options")
    page.get_by_role("button", name="Remove Image").click()
    bring(page, broken)
    expect(alert(page)).not_to_be_empty()
    check(page, "error")


@pytest.mark.parametrize("screen", SCREENS)
def test_no_accessibility_rule_is_broken_while_it_reads(
    open_page: Callable[..., Page], serve: Serve, screen: str, upload: Upload
) -> None:
    page = open_page(**SCREENS[screen], address=serve(Future()).local_url)  # whose reader never finishes starting
    bring(page, upload.path)
    expect(status(page)).to_have_text(TEXT["loading"])
    check(page, "busy")


def check(page: Page, state: str) -> None:
    """WCAG 2.2 A and AA as far as axe-core sees it, no target too small (2.5.8), no scrolling sideways (1.4.10)."""
    page.wait_for_function("document.getAnimations().every(one => one.playState !== 'running')")
    found = Axe().run(page, options={"runOnly": {"type": "tag", "values": RULES}, "resultTypes": ["violations"]})
    assert not found.response["violations"], f"{state}: {found.generate_report()}"
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), f"{state} scrolls sideways"
    for smaller_side, html in page.locator("main button:visible").evaluate_all(SIDES):
        assert smaller_side >= SMALLEST, f"{state}: {html}"
