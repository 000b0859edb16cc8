"""Labelling in the page: pictures without a label one by one, least certain first, with what the reader guesses."""

from __future__ import annotations

import base64
import functools
import logging
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from html import escape
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import cv2
import gradio as gr

from crnn.decode import Reading
from crnn.image import PictureError, open_picture
from crnn.speech import UNSURE_BELOW, words
from crnn.tabs.label_queue import LONGEST, File, Gone, LabelQueue, Lost, View, cleaned
from crnn.tabs.parts import live
from crnn.tabs.read import PageError, Visitor, among_uploads, loaded
from crnn.tabs.result import per_cent, percent
from crnn.tabs.texts import I18N, TEXTS, Texts

if TYPE_CHECKING:
    from crnn.recognizer import Recognizer

KEEP_SECONDS = 3600  # what is known of a folder is forgotten so long after it was last asked for
HEIGHT_PX = 180  # of an enlarged picture, about
LEAST, MOST = 2, 4  # times that a picture is enlarged
WIDEST_PX = 1000  # a photo is sent smaller: it has more than the screen shows

LABEL_JS = (Path(__file__).parent / "label.js").read_text(encoding="utf-8")
# The focus is in the field with the guess selected, so that typing replaces it; when all is labelled, on the download.
FOCUS_JS = """() => requestAnimationFrame(() => requestAnimationFrame(() => {
  const field = document.querySelector("#label-field input");
  (field ?? document.querySelector("#label-dataset"))?.focus();
  if (field && field.value === document.querySelector(".label-card").dataset.text) field.select(); // not typed since
}))"""
DOWNLOAD_JS = """(file) => {
  if (file) Object.assign(document.createElement("a"), { href: file.url, download: file.orig_name }).click();
}"""

log = logging.getLogger(__name__)


class Shown(NamedTuple):
    """What the page shows; status, alert, card and note are HTML."""

    status: str
    card: str
    text: str | None  # in the field; None: what stands there stays
    note: str
    asked: bool  # whether there is a picture to label
    back: bool  # whether there is one to go back to
    surely: bool  # whether some are surely read
    labelled: bool  # whether there is something to download
    which: str = ""  # the picture, as `accept` is told it
    alert: str = ""


# ---------------------------------------------------------------- handlers


def explained(step: Callable[..., Any]) -> Callable[..., Any]:
    """Make an error within a method of `LabelHandlers` the sentence that it returns; then nothing is raised."""

    @functools.wraps(step)
    def explain(handlers: LabelHandlers, folder: Path, visitor: Visitor, *arguments: Any) -> Any:
        texts = TEXTS[visitor.language]
        try:
            return step(handlers, folder, visitor, *arguments)
        except PageError as error:
            return escape(str(error))
        except Gone:
            return texts["label_gone"]
        except OSError as error:
            return escape(texts["label_not_saved"].format(error.strerror))
        except Exception:
            log.exception("Labelling failed.")
            return texts["failed"]

    return explain


class LabelHandlers:
    """Where pictures are labelled, each folder by its own person, on any number of open pages.

    Methods return what the page shows, or a sentence where something is wrong, and then all else stays as it is.
    """

    def __init__(self, reader: Future[Recognizer]) -> None:
        """reader: perhaps still loading."""
        self.reader = reader
        self._lock = threading.Lock()
        self._queues: dict[Path, tuple[LabelQueue, dict[str, View], threading.Timer]] = {}
        self._background = ThreadPoolExecutor(1, thread_name_prefix="guess")  # folders take turns
        self._busy: set[LabelQueue] = set()

    @explained
    def show(self, folder: Path, visitor: Visitor) -> Shown | None:
        """Show the picture to label, after some were added or taken away; None where there is nothing to do.

        A picture that is shown already stays, and so does what was typed.
        """
        try:
            queue, view = self._of(folder, visitor)
        except Gone:
            return None
        try:
            queue.refresh()
        except Gone:
            view.made.clear()
            view.skipped.clear()
            return None
        if view.current and queue.waits(view.current):
            return self._shown(queue, view, visitor)._replace(text=None)
        shown = self._next(queue, view, visitor)
        return shown if shown.asked or view.made else None

    @explained
    def accept(self, folder: Path, visitor: Visitor, text: str, which: str) -> Shown:
        """Save the text as the label of the picture that is shown, and show the next one.

        which: of what was shown when the text was typed; a step that was on its way may have gone to another picture.
        """
        texts = TEXTS[visitor.language]
        text = checked(text, texts)
        queue, view = self._of(folder, visitor)
        if view.current and which != _name(view.current):
            return self._shown(queue, view, visitor)._replace(alert=texts["label_moved"])
        try:
            queue.label(view, text)
        except Lost:
            queue.refresh()
            return self._next(queue, view, visitor)._replace(alert=texts["label_lost"])
        return self._next(queue, view, visitor)

    @explained
    def skip(self, folder: Path, visitor: Visitor) -> Shown:
        """Leave the picture that is shown for later, and show the next one."""
        queue, view = self._of(folder, visitor)
        queue.skip(view)
        return self._next(queue, view, visitor)

    @explained
    def back(self, folder: Path, visitor: Visitor) -> Shown:
        """Show the picture that was labelled before the one that is shown."""
        queue, view = self._of(folder, visitor)
        before = queue.before(view)
        if before is None:
            raise PageError(TEXTS[visitor.language]["label_first"])
        view.current = before
        return self._shown(queue, view, visitor)

    @explained
    def accept_sure(self, folder: Path, visitor: Visitor) -> Shown:
        """Save what the reader guesses wherever it is sure, and show the next one."""
        queue, view = self._of(folder, visitor)
        accepted = queue.accept_sure(view)
        done = TEXTS[visitor.language]["label_accepted"].format(accepted)
        return self._next(queue, view, visitor, done)

    @explained
    def archive(self, folder: Path, visitor: Visitor) -> Path:
        """Write all that is labelled to a zip, which Gradio deletes with the other files there."""
        queue, _ = self._of(folder, visitor)
        queue.refresh()
        if not queue.labelled:
            raise PageError(TEXTS[visitor.language]["label_nothing"])
        target = among_uploads("dataset.zip")
        queue.archive(target)
        return target

    def _of(self, folder: Path, visitor: Visitor) -> tuple[LabelQueue, View]:
        """What is known of a folder, and where the visitor's page stands. Raises Gone as `LabelQueue.refresh` does."""
        with self._lock:
            if folder in self._queues:
                queue, views, timer = self._queues[folder]
                timer.cancel()
            else:
                queue, views = LabelQueue(folder), {}
                queue.refresh()
            timer = threading.Timer(KEEP_SECONDS, self._forget, [folder])
            timer.daemon = True
            timer.start()
            self._queues[folder] = queue, views, timer
            return queue, views.setdefault(visitor.session, View())

    def _forget(self, folder: Path) -> None:
        with self._lock:
            self._queues.pop(folder, None)

    def _next(self, queue: LabelQueue, view: View, visitor: Visitor, done: str = "") -> Shown:
        """Go to the next picture and show it; done: a sentence that is said before."""
        texts = TEXTS[visitor.language]
        recognizer = loaded(self.reader, texts)
        if queue.advance(view, recognizer):
            done = f"{done} {texts['label_again']}".strip()
        self._read_on(queue, recognizer)
        return self._shown(queue, view, visitor, done)

    def _shown(self, queue: LabelQueue, view: View, visitor: Visitor, done: str = "") -> Shown:
        """The current picture; where it can't be opened, the next one."""
        language, texts = visitor.language, TEXTS[visitor.language]
        number, total = queue.place(view)
        card, status, text = "", texts["label_done"].format(queue.labelled), ""
        if view.current:
            guess, label = queue.guess(view.current), queue.text(view.current)
            text = label or (guess.text if guess else "")
            status = status_line(number, total, guess, label, language)
            try:
                card = card_html(view.current.path, guess, text, language)
            except PictureError:  # it could be opened a moment ago
                queue.refresh()
                queue.leave_out(view.current)
                return self._next(queue, view, visitor, done)
        sure = len(queue.sure(view))
        return Shown(
            status=escape(f"{done} {status}".strip()),
            card=card + progress_html(total, len(view.made)),
            text=text,
            note=note_html(sure, queue.left_out, texts),
            asked=view.current is not None,
            back=queue.before(view) is not None,
            surely=sure > 0,
            labelled=queue.labelled > 0,
            which=_name(view.current) if view.current else "",
        )

    def _read_on(self, queue: LabelQueue, recognizer: Recognizer) -> None:
        """Read the other pictures in the background, a few at a time, so that every folder gets its turn."""
        with self._lock:
            if queue in self._busy or not queue.unread():
                return
            self._busy.add(queue)

        def read_some() -> None:
            left = False
            try:
                left = queue.read_some(recognizer)
            except Exception:
                log.exception("Pictures could not be read in the background.")
            with self._lock:
                known = any(queue is one for one, _, _ in self._queues.values())
                if not (left and known):
                    self._busy.discard(queue)
                    return
            self._background.submit(read_some)

        self._background.submit(read_some)


def _name(file: File) -> str:
    """What tells a picture from the others; not its own name, which may tell the text."""
    return "-".join(map(str, file.version))


def checked(text: str, texts: Texts) -> str:
    """A typed label as it can be saved. Raises PageError where it can't."""
    text = cleaned(text)
    if not text:
        raise PageError(texts["label_empty"])
    if len(text) > LONGEST:
        raise PageError(texts["label_long"].format(len(text), LONGEST))
    if not text.isprintable():
        raise PageError(texts["label_unprintable"])
    return text


# ---------------------------------------------------------------- what is shown and announced


def status_line(number: int, total: int, guess: Reading | None, label: str | None, language: str) -> str:
    """What is announced: "3 of 20. The reader guesses: w, 7, capital X. 62 percent sure.", for instance."""
    texts = TEXTS[language]
    if label is not None:
        return texts["label_before"].format(words(label, language=language))
    if guess is None or not guess.text:
        return texts["label_no_guess"].format(number, total)
    said = words(guess, language=language)
    return texts["label_guess"].format(number, total, said, percent(guess.confidence))


def card_html(path: Path, guess: Reading | None, text: str, language: str) -> str:
    """The picture, enlarged, and beside it the guess, its unsure characters marked. Raises PictureError.

    text: that stands in the field at first.
    """
    texts = TEXTS[language]
    picture = open_picture(path)  # (H, W, 3)
    rows, columns = picture.shape[:2]
    width = columns * min(max(HEIGHT_PX // rows, LEAST), MOST)
    bgr = cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)
    if columns > WIDEST_PX:
        size = (WIDEST_PX, max(round(rows * WIDEST_PX / columns), 1))
        bgr = cv2.resize(bgr, size, interpolation=cv2.INTER_AREA)
    png = cv2.imencode(".png", bgr)[1].tobytes()
    return (
        f'<div class="label-card" data-text="{escape(text)}"><img alt="{escape(texts["label_alt"])}" width="{width}" '
        f'src="data:image/png;base64,{base64.b64encode(png).decode()}">{_guess(guess, language)}</div>'
    )


def _guess(guess: Reading | None, language: str) -> str:
    """The guess with its confidence, and each unsure character with its closest rival. The status says it in words."""
    texts = TEXTS[language]
    if guess is None or not guess.text:
        return f'<p class="guess">{texts["nothing"]}</p>'
    unsure = [(number, one) for number, one in enumerate(guess.characters, 1) if one.confidence < UNSURE_BELOW]
    marked = "".join(
        f'<span class="unsure">{escape(one.text)}</span>' if one.confidence < UNSURE_BELOW else escape(one.text)
        for one in guess.characters
    )
    rivals = ""
    for number, one in unsure:
        likely = [(one.text, one.confidence)] + [(other.text, other.confidence) for other in one.alternatives[:1]]
        listed = ", ".join(
            f"<code>{escape(text) or '–'}</code>&nbsp;{per_cent(confidence, language)}" for text, confidence in likely
        )
        rivals += f"<li>{number}: {listed}</li>"
    return (
        f'<div class="guess" aria-hidden="true" translate="no"><p><code>{marked}</code> '
        f"{per_cent(guess.confidence, language)}</p>{f'<ul>{rivals}</ul>' if rivals else ''}</div>"
    )


def progress_html(total: int, made: int) -> str:
    """How far the page is; the status says it in words."""
    share = made / total if total else 1.0
    return f'<div class="bar" aria-hidden="true"><div style="width: {share:.0%}"></div></div>'


def note_html(sure: int, left_out: int, texts: Texts) -> str:
    """How many are surely read, and how many can't be opened."""
    sentences = [texts["label_sure"].format(sure)] if sure else []
    sentences += [texts["label_left_out"].format(left_out)] if left_out else []
    return "".join(f"<p>{sentence}</p>" for sentence in sentences)


# ---------------------------------------------------------------- layout and wiring


class Labelling(NamedTuple):
    """The component as the tab around it sees it.

    Attributes:
        show: the values of `outputs` for a visitor's token: at page load, and after pictures were added or taken away.
        outputs: the components that it fills.
        saved: its `change` fires after labels were saved.
    """

    show: Callable[[str | None, gr.Request], list[Any]]
    outputs: list[Any]
    saved: gr.State


def build(folder_of: Callable[[str], Path], reader: Future[Recognizer], token: gr.BrowserState) -> Labelling:
    """Lay out labelling inside what is open; it stays hidden until `Labelling.show` finds pictures without a label.

    Args:
        folder_of: from a visitor's token to the folder of the visitor's pictures, whether it is there or not.
        reader: the recognizer, perhaps still loading.
        token: the visitor's.
    """
    handlers = LabelHandlers(reader)
    with gr.Column(elem_id="label"):
        with gr.Column(visible=False) as head:
            gr.HTML(I18N("label_heading"), html_template="<h2>${value}</h2>")
            for sentences in ("label_lede", "label_hint"):
                gr.HTML(I18N(sentences), html_template="<p>${value}</p>")
        status, alert = live("status", "label"), live("alert", "label")  # not hidden, as what follows is
        with gr.Column(visible=False) as body:
            card = gr.HTML()
            field: Any = gr.Textbox(
                label=I18N("label_field"),
                elem_id="label-field",
                max_lines=1,  # else it is a field of many lines, in which arrows move
                max_length=LONGEST,
                html_attributes=gr.InputHTMLAttributes(
                    autocapitalize="off", autocorrect="off", spellcheck=False, autocomplete="off"
                ),
            )
            with gr.Row(elem_id="label-steps"):
                accept: Any = gr.Button(I18N("label_accept"), variant="primary", min_width=80)
                skip: Any = gr.Button(I18N("label_skip"), elem_id="label-skip", min_width=80)
                back: Any = gr.Button(I18N("label_back"), elem_id="label-back", min_width=80)
            which = gr.Textbox(visible=False)  # the page sends it with the text, as it stood when Enter was pressed
            note = gr.HTML(elem_id="label-note")
            with gr.Row(elem_id="label-all"):
                surely: Any = gr.Button(I18N("label_surely"), min_width=160)
                dataset: Any = gr.Button(I18N("label_dataset"), elem_id="label-dataset", min_width=160)
            archive = gr.DownloadButton(elem_id="label-archive")  # never seen, it holds the file for DOWNLOAD_JS
        gr.HTML(html_template="", js_on_load=LABEL_JS)
        saved = gr.State(0)
    outputs = [head, body, status, alert, card, field, which, note, accept, skip, back, surely, dataset]
    saving = (handlers.accept, handlers.accept_sure)
    numbers = count(1)  # never the same twice, so that each one is a change

    def updates(shown: Shown | str | None) -> list[Any]:
        """The outputs: all hidden, a sentence and no more, or a picture to label."""
        if shown is None:
            return [gr.Column(visible=False), gr.Column(visible=False), "", "", "", *[gr.skip()] * 8]
        if isinstance(shown, str):
            return [*[gr.skip()] * 3, shown, *[gr.skip()] * 9]
        text = {} if shown.text is None else {"value": shown.text}
        return [
            gr.Column(visible=True),
            gr.Column(visible=True),
            shown.status,
            shown.alert,
            shown.card,
            gr.update(visible=shown.asked, **text),
            shown.which,
            shown.note,
            gr.Button(visible=shown.asked),
            gr.Button(visible=shown.asked),
            gr.Button(interactive=shown.back),
            gr.Button(visible=shown.surely),
            gr.Button(interactive=shown.labelled),
        ]

    def show(token: str | None, request: gr.Request) -> list[Any]:
        return updates(handlers.show(folder_of(token), Visitor.of(request)) if token else None)

    def step(
        method: Callable[..., Shown | str], token: str | None, request: gr.Request, *arguments: Any
    ) -> Iterator[list[Any]]:
        visitor = Visitor.of(request)
        shown = method(folder_of(token), visitor, *arguments) if token else TEXTS[visitor.language]["label_gone"]
        if isinstance(shown, str):
            yield [*updates(""), gr.skip()]  # said again, it must change to be announced
            yield [*updates(shown), gr.skip()]
        else:
            yield [*updates(shown), next(numbers) if method in saving else gr.skip()]

    def on_accept(token: str | None, text: str | None, which: str, request: gr.Request) -> Iterator[list[Any]]:
        yield from step(handlers.accept, token, request, text or "", which)

    def on_accept_sure(token: str | None, request: gr.Request) -> Iterator[list[Any]]:
        yield from step(handlers.accept_sure, token, request)

    def on_skip(token: str | None, request: gr.Request) -> Iterator[list[Any]]:
        yield from step(handlers.skip, token, request)

    def on_back(token: str | None, request: gr.Request) -> Iterator[list[Any]]:
        yield from step(handlers.back, token, request)

    def on_dataset(token: str | None, request: gr.Request) -> tuple[str, Path | None]:
        visitor = Visitor.of(request)
        if not token:
            return TEXTS[visitor.language]["label_gone"], None
        made = handlers.archive(folder_of(token), visitor)
        return ("", made) if isinstance(made, Path) else (made, None)

    listen = functools.partial(
        gr.on,
        show_progress="hidden",
        trigger_mode="once",  # a second Enter, before the next picture is there, is not about it
        concurrency_id="label",
        concurrency_limit=4,
        api_visibility="private",
    )
    steps = [
        listen([field.submit, accept.click], on_accept, [token, field, which], [*outputs, saved]),
        listen(skip.click, on_skip, token, [*outputs, saved]),
        listen(back.click, on_back, token, [*outputs, saved]),
        listen(surely.click, on_accept_sure, token, [*outputs, saved]),
    ]
    for one in steps:
        one.then(None, js=FOCUS_JS)
    listen(dataset.click, on_dataset, token, [alert, archive]).then(None, archive, js=DOWNLOAD_JS)
    return Labelling(show, outputs, saved)
