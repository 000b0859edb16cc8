"""The page: puts the tabs together and launches them. `python app.py`; Hugging Face Spaces runs the same file."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr

from crnn.tabs import read, texts, train
from crnn.tabs.readers import Readers
from crnn.tabs.training_queue import Rules, TrainingQueue, scratch, training

if TYPE_CHECKING:
    from crnn.recognizer import Recognizer

Move = Callable[[str | Path | None], Coroutine[Any, Any, str | None]]  # a file to Gradio's cache
TABS = Path(__file__).parent / "crnn" / "tabs"
REST_S = 0.01  # between two looks for something to do; Gradio's own 0.001 costs a tenth of a core while nothing happens
DELETE_FILES = (60, 240)  # seconds: look so often, delete what is so old; the page promises five minutes

FONTS = ("system-ui", "sans-serif")  # none is fetched: the page asks no other server for anything
# Each of these tells 0 from O, and 1 from l and I.
MONO_FONTS = ("ui-monospace", "Cascadia Mono", "Consolas", "Menlo", "DejaVu Sans Mono", "Liberation Mono", "monospace")


def load_reader(checkpoint: str | None = None) -> Future[Recognizer]:
    """Load the model in the background: libraries and weights take a while, and the page need not wait for them."""
    reader: Future[Recognizer] = Future()

    def load() -> None:
        try:
            from crnn.recognizer import Recognizer

            reader.set_result(Recognizer.from_pretrained(checkpoint))
        except BaseException as error:  # it is the reads' to tell
            reader.set_exception(error)

    threading.Thread(target=load, name="load", daemon=True).start()  # a server that is stopped does not wait for it
    return reader


def build_demo(checkpoint: str | None = None) -> gr.Blocks:
    """Build the page. checkpoint: a folder or Hub id, None for the shipped one."""
    if checkpoint and Path(checkpoint).is_dir():
        checkpoint = str(Path(checkpoint).resolve())  # a training runs in another folder
    reader = load_reader(checkpoint)
    readers = Readers(reader)
    trainings = TrainingQueue(scratch(os.environ), Rules.of(os.environ), training(checkpoint))
    demo = gr.Blocks(title=texts.TEXTS["en"]["title"], analytics_enabled=False, delete_cache=DELETE_FILES)
    with demo:
        gr.HTML(texts.I18N("skip"), html_template='<a class="skip" href="#result">${value}</a>')
        with gr.Column(elem_id="top"):
            gr.HTML(texts.I18N("page_language"), html_template='<span id="language" hidden>${value}</span>')
            gr.HTML(texts.I18N("title"), html_template="<h1>${value}</h1>")
            gr.HTML(texts.I18N("lede"), html_template="<p>${value}</p>")
        visitor = train.visitor()  # outside the tabs: one that is not shown does not learn what the browser keeps
        with gr.Tabs():
            with gr.Tab(texts.I18N("tab_read"), id="read", render_children=True):
                reader_line = read.build(demo, readers)
                gr.HTML(texts.I18N("privacy"), html_template="<p>${value}</p>", elem_id="privacy")
            with gr.Tab(texts.I18N("tab_train"), id="train"):
                train.build(demo, visitor, trainings, reader, readers, reader_line)
    demo._queue.sleep_when_free = REST_S
    _fetch_nothing(demo)
    return demo


def _fetch_nothing(demo: gr.Blocks) -> None:
    """Refuse files that are given by their address: Gradio would download them before any handler is asked."""

    def refusing(move: Move) -> Move:
        async def moved(path: str | Path | None) -> str | None:
            if str(path).lower().startswith(("http:", "https:")):
                raise gr.Error("The address of a file came; give the file itself.", print_exception=False)
            return await move(path)

        return moved

    for block in demo.blocks.values():
        block.async_move_resource_to_block_cache = refusing(block.async_move_resource_to_block_cache)  # type: ignore[assignment,method-assign]


def launch_options() -> dict[str, Any]:
    """What makes the page private, readable and accessible; address and port stay with Gradio's own variables."""
    return {
        "theme": gr.themes.Default(primary_hue="blue", neutral_hue="slate", font=FONTS, font_mono=MONO_FONTS),
        "css_paths": TABS / "page.css",
        "i18n": texts.I18N,
        "head": f"<script>{(TABS / 'page.js').read_text(encoding='utf-8')}</script>",
        "max_file_size": f"{Rules.of(os.environ).megabytes}mb",  # of a zip for training; the Read tab takes less
        "blocked_paths": [str(scratch(os.environ))],  # what people train on is never served
        "run_history": False,
        "state_session_capacity": 1000,  # Gradio keeps the values of all fields of so many sessions, closed ones too
        "enable_monitoring": False,
        "ssr_mode": False,  # one server, one process
        "footer_links": ["api"],
    }


def main() -> None:
    """Serve the page until it is stopped."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoint", help="folder or Hub id of the model (default: checkpoints/captcha)")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())  # ends it like Ctrl+C does, and with it a training
    try:
        demo = build_demo(arguments.checkpoint)
    except ValueError as error:  # the environment sets something that can't be
        sys.exit(str(error))
    demo.launch(**launch_options())


if __name__ == "__main__":
    main()
