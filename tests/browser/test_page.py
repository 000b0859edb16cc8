"""The whole job in a browser: a picture in; text, overlay, sound and announcement out; for everyone."""

from __future__ import annotations

import base64
import io
import re
import wave
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from crnn.tabs import TEXT
from crnn.tabs.read import EXAMPLES, examples

from .conftest import App, Upload

SCREENS = {"light": {}, "dark": {"dark": True}, "narrow": {"width": 320, "height": 640}}
LOADED_SIZE = "async image => { await image.decode(); return [image.naturalWidth, image.naturalHeight] }"
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]  # axe-core's tags; 2.2 A adds no automatic rule


def bring(page: Page, path: Path) -> None:
    page.locator("#bring input[type=file]").set_input_files(path)


def finished(page: Page) -> None:
    """Wait until a read is shown and spoken; the first one waits for the model too."""
    expect(page.get_by_role("status").first).to_have_text(re.compile("^Read: "))
    expect(page.locator("#result audio")).to_be_attached()


def test_a_picture_is_read_shown_spoken_and_announced(open_page: Callable[..., Page], upload: Upload) -> None:
    page = open_page()
    bring(page, upload.path)
    finished(page)

    assert page.locator("#result .text").inner_text() == upload.text
    announced = page.get_by_role("status").first.inner_text()
    assert re.fullmatch(r"Read: .+\. Confidence \d+ percent\.( \w+ \w+ unsure\.)*", announced)
    expect(page.get_by_role("alert")).to_be_empty()

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


def test_a_broken_file_gets_a_sentence_and_the_page_goes_on(
    open_page: Callable[..., Page], app: App, broken: Path, upload: Upload
) -> None:
    page = open_page()
    bring(page, broken)
    alert = page.get_by_role("alert")
    expect(alert).to_have_text(re.compile(r"^[A-Z][^.]+ picture[^.]+\.$"))
    expect(page.locator("#result .text")).to_have_count(0)
    assert "Traceback" not in app.log.read_text() + page.content()

    page.get_by_role("button", name="Remove Image").click()
    expect(alert).to_be_empty()
    bring(page, upload.path)
    finished(page)
    expect(alert).to_be_empty()


def test_options_apply_when_the_picture_is_read_again(open_page: Callable[..., Page], upload: Upload) -> None:
    page = open_page()
    page.get_by_role("button", name=TEXT["options"]).click()
    again = page.get_by_role("button", name=TEXT["again"])
    again.click()
    expect(page.get_by_role("alert")).to_have_text(TEXT["no_picture"])
    bring(page, upload.path)
    finished(page)
    page.get_by_role("radio", name="Digits", exact=True).check()
    page.get_by_label(TEXT["shortest"]).fill("3")
    page.get_by_label(TEXT["longest"]).fill("3")
    again.click()
    expect(page.locator("#result .text")).to_have_text(re.compile(r"^\d{3}$"))


def test_the_whole_job_by_keyboard(open_page: Callable[..., Page], upload: Upload) -> None:
    page = open_page()
    page.on("filechooser", lambda chooser: chooser.set_files(upload.path))  # early: it takes a moment to be in force
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name=TEXT["skip"])).to_be_focused()
    assert page.get_by_role("link", name=TEXT["skip"]).bounding_box()["x"] >= 0  # seen once it has the focus
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    finished(page)

    reached = []
    for _ in range(40):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.id || document.activeElement.tagName"))
        if reached[-1] == "attention-all":
            break
    assert "AUDIO" in reached and reached[-1] == "attention-all"
    page.keyboard.press("ArrowRight")
    expect(page.locator("#attention-0")).to_be_focused()
    expect(page.locator("#attention-0 + label + img")).to_be_visible()
    expect(page.locator("#attention-all + label + img")).to_be_hidden()


def test_each_example_has_a_name_and_is_read(open_page: Callable[..., Page]) -> None:
    page = open_page()
    for _, text in examples(EXAMPLES):
        button = page.get_by_role("button", name=TEXT["example"].format(text), exact=True)
        assert button.locator("img").evaluate(LOADED_SIZE)[0] > 0
        button.click()
        expect(page.locator("#result .text")).to_have_text(text)


@pytest.mark.parametrize("screen", SCREENS)
def test_no_accessibility_rule_is_broken(
    open_page: Callable[..., Page], screen: str, upload: Upload, broken: Path
) -> None:
    page = open_page(**SCREENS[screen])
    check(page, "empty")
    page.get_by_role("button", name=TEXT["options"]).click()
    expect(page.get_by_role("button", name=TEXT["again"])).to_be_visible()
    check(page, "options")
    page.get_by_role("button", name="Capture from camera").click()
    page.get_by_role("button", name=re.compile("access webcam", re.IGNORECASE)).wait_for()
    check(page, "camera")
    page.get_by_role("button", name="Upload file").click()
    bring(page, upload.path)
    finished(page)
    check(page, "result")
    page.get_by_role("button", name="Remove Image").click()
    bring(page, broken)
    expect(page.get_by_role("alert")).not_to_be_empty()
    check(page, "error")


def check(page: Page, state: str) -> None:
    """WCAG 2.2 A and AA as far as axe-core sees it, and no scrolling sideways (1.4.10)."""
    page.wait_for_function("document.getAnimations().every(one => one.playState !== 'running')")
    found = Axe().run(page, options={"runOnly": {"type": "tag", "values": RULES}})
    assert not found.response["violations"], f"{state}: {found.generate_report()}"
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), f"{state} scrolls sideways"
