"""The real page in a real browser: the app as a process of its own, and the system's Chromium."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import gradio as gr
import pytest
from playwright.sync_api import Browser, Page, Request, expect, sync_playwright

from app import build_demo, launch_options
from crnn.tabs.read import EXAMPLES, examples

ROOT = Path(__file__).parent.parent.parent
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
ARGUMENTS = (
    "--no-sandbox",  # tests may run as root
    "--disable-gpu",
    "--disable-background-networking",
    "--autoplay-policy=no-user-gesture-required",  # an upload by a script is no gesture
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
)
PATIENCE = 90  # seconds, for whatever is waited for: a busy machine is slow, but nothing here is a matter of speed
expect.set_options(timeout=PATIENCE * 1000)


class Upload(NamedTuple):
    """A picture to bring, and the text that is to be read."""

    path: Path
    text: str


class App(NamedTuple):
    """The running app: where it answers and what it printed."""

    address: str
    log: Path


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """The system's Chromium; where there is none, CI fails and others skip."""
    executable = next(filter(None, map(shutil.which, BROWSERS)), None)
    if executable is None:
        sentence = f"No Chromium on the path ({', '.join(BROWSERS)}): install one, such as Debian's package chromium."
        pytest.fail(sentence) if os.environ.get("CI") else pytest.skip(sentence)
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=executable, args=list(ARGUMENTS))
        yield launched
        launched.close()


@pytest.fixture(scope="session")
def app(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    """app.py on a free port, with the shipped reader."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folder = tmp_path_factory.mktemp("app")
    log, cache = folder / "log", folder / "cache"
    environment = os.environ | {"GRADIO_SERVER_PORT": str(port), "GRADIO_TEMP_DIR": str(cache)}
    with log.open("w") as output:
        process = subprocess.Popen(
            [sys.executable, "app.py"], cwd=ROOT, env=environment, stdout=output, stderr=subprocess.STDOUT
        )
    try:
        wait_for(f"http://127.0.0.1:{port}/", process, log)
        yield App(f"http://127.0.0.1:{port}/", log)
    finally:
        process.terminate()
        process.wait(timeout=30)


def wait_for(address: str, process: subprocess.Popen[bytes], log: Path) -> None:
    """Return once the app answers; fail with what it printed where it does not."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline and process.poll() is None:
        try:
            urllib.request.urlopen(address, timeout=5).close()
            return
        except OSError:
            time.sleep(0.1)
    pytest.fail(f"app.py did not answer:\n{log.read_text()}")


@pytest.fixture
def serve(browser: Browser, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Future[Any]], gr.Blocks]]:
    """A function that serves the page with a given reader, within this process, at its `local_url`."""
    served = []

    def serve_page(reader: Future[Any]) -> gr.Blocks:
        monkeypatch.setattr("app.load_reader", lambda checkpoint=None: reader)
        demo = build_demo()
        served.append((demo, reader))
        demo.launch(**launch_options(), prevent_thread_lock=True, quiet=True)
        return demo

    yield serve_page
    for demo, reader in served:
        if not reader.done():
            reader.set_exception(RuntimeError("The test is over."))  # lets go of the threads that wait
        demo.close()


@pytest.fixture
def open_page(browser: Browser, app: App, serve: Callable[..., gr.Blocks]) -> Iterator[Callable[..., Page]]:
    """A function that opens the page as a given screen; at the end no other server may have been asked for anything.

    It comes after `serve`, so that pages are closed before their server, which waits for them.
    """
    pages: list[Page] = []
    foreign: list[str] = []

    def note(request: Request) -> None:
        parts = urlsplit(request.url)
        if parts.scheme not in ("data", "blob") and parts.hostname != "127.0.0.1":
            foreign.append(request.url)

    def open_as(
        width: int = 1200,
        height: int = 900,
        dark: bool = False,
        language: str = "en",
        clipboard: bool = False,
        address: str = app.address,
    ) -> Page:
        context = browser.new_context(
            viewport={"width": width, "height": height},
            color_scheme="dark" if dark else "light",
            locale=language,
            permissions=["camera", *(["clipboard-read", "clipboard-write"] if clipboard else [])],
        )
        page = context.new_page()
        page.set_default_timeout(PATIENCE * 1000)
        pages.append(page)
        page.on("request", note)
        page.goto(address)
        page.get_by_role("heading", level=1).wait_for()
        page.locator("#bring input[type=file]").wait_for(state="attached")
        return page

    yield open_as
    for page in pages:
        page.context.close()
    assert not foreign


@pytest.fixture(scope="session")
def upload() -> Upload:
    """The first of the example pictures."""
    return Upload(*examples(EXAMPLES)[0])


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    """A text file that says it is a picture."""
    path = tmp_path / "text.png"
    path.write_text("This is no picture.\n")
    return path
