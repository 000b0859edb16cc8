"""How long it takes in the browser from a picture, or a click, to the start of the sound.

    pytest -s tests/browser/test_speed.py   # prints the medians

The bounds are loose, as machines that test are busy; the targets are 0.6 s, and 0.25 s for what was said before.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from playwright.sync_api import Page

from crnn.tabs.texts import TEXTS

from .test_page import copy, finished

READS = 20
TIMED = """() => {
    for (const [event, name] of [["paste", "asked"], ["click", "asked"], ["playing", "heard"]]) {
        document.addEventListener(event, () => { window[name] = performance.now(); }, true);
    }
}"""


def seconds(page: Page, act: Callable[[], None]) -> float:
    """From the act to the sound, by the browser's clock."""
    page.evaluate("() => { window.heard = 0; }")
    act()
    page.wait_for_function("window.heard > 0")
    return float(page.evaluate("(window.heard - window.asked) / 1000"))


def test_the_sound_follows_the_picture_at_once(open_page: Callable[..., Page], tmp_path: Path) -> None:
    page = open_page(clipboard=True)
    page.evaluate(TIMED)
    read = page.get_by_role("button", name=TEXTS["en"]["read"], exact=True)
    new, repeated = [], []
    for number in range(READS + 1):
        picture = np.full((60, 160, 3), 255, np.uint8)
        cv2.putText(picture, str(4071 + 137 * number), (20, 42), cv2.FONT_HERSHEY_SIMPLEX, 1.3, (0, 0, 0), 3)
        path = tmp_path / f"{number}.png"
        cv2.imwrite(str(path), picture)
        copy(page, path)
        new.append(seconds(page, lambda: page.keyboard.press("Control+V")))
        finished(page)
        repeated.append(seconds(page, read.click))
        finished(page)
    del new[0], repeated[0]  # they waited for the model
    medians = statistics.median(new), statistics.median(repeated)
    print("\nto the sound, median of {}: {:.2f} s, said before {:.2f} s".format(READS, *medians))
    assert medians[0] < 3 and medians[1] < 1.5
