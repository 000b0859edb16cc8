"""The Read tab: a picture in; its text, its sound and where the reader looked out."""

from __future__ import annotations

import csv
import logging
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from html import escape
from pathlib import Path
from tempfile import mkdtemp
from typing import TYPE_CHECKING, Any, NamedTuple

import gradio as gr
from gradio import FileData
from gradio.components import Component
from gradio.events import api
from gradio.utils import get_upload_folder

from crnn.decode import Reading
from crnn.image import Picture, PictureError, open_picture
from crnn.speech import SpeechError, synthesize, words
from crnn.tabs import CHARSETS, STYLES, TEXT
from crnn.tabs.result import details_html, note, sound_html, status_line, text_html

if TYPE_CHECKING:
    from crnn.recognizer import Recognizer

EXAMPLES = Path(__file__).parent.parent.parent / "assets" / "examples"

LONGEST = 1000  # characters, where no bound is given: more than any picture has frames

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Wishes:
    """What the reader may take for granted, and how the text is to be said."""

    charset: str = ""  # a name of crnn.charset.NAMED or characters; empty: any
    shortest: int | None = 0  # 0 or none: no bound
    longest: int | None = 0
    ignore_case: bool = False
    style: str = "spell"

    @property
    def length(self) -> tuple[int, int] | None:
        """The bounds for the reader. Raises ValueError where they contradict each other."""
        shortest, longest = int(self.shortest or 1), int(self.longest or LONGEST)
        if shortest > longest:
            raise ValueError(TEXT["length_order"].format(shortest, longest))
        return (shortest, longest) if self.shortest or self.longest else None


class Shown(NamedTuple):
    """What the page shows, in the order of its output components; all of it HTML."""

    status: str = ""
    alert: str = ""
    text: str = note(TEXT["waiting"])
    sound: str = ""
    details: str = ""


# ---------------------------------------------------------------- handlers


def show(reader: Future[Recognizer], value: dict[str, Any] | None, wishes: Wishes) -> Iterator[Shown]:
    """Read the picture that the page holds and yield what it shows: first that it is busy, at last all.

    value: what gr.Image sends, unprocessed: Gradio's own preprocessing has but a traceback for a broken file.
    Bad input becomes one sentence in `Shown.alert`; nothing is raised.
    """
    busy = TEXT["reading" if reader.done() else "loading"]
    shown = Shown(status=busy, text=note(busy))
    yield shown
    try:
        picture, reading = read_picture(reader, value, wishes)
        shown = Shown(status=status_line(reading), text=text_html(reading))
        yield shown  # the text at once; drawing and speaking take longer
        shown = shown._replace(details=details_html(picture, reading))
        yield shown
        yield shown._replace(sound=sound_html(synthesize(words(reading, wishes.style, wishes.ignore_case))))
    except SpeechError as error:
        yield shown._replace(alert=escape(TEXT["no_voice"].format(error)))
    except ValueError as error:  # one sentence for the user; so is PictureError
        yield Shown(alert=escape(str(error)))
    except Exception:
        log.exception("A read failed.")
        yield Shown(alert=TEXT["failed"])


def read_picture(reader: Future[Recognizer], value: dict[str, Any] | None, wishes: Wishes) -> tuple[Picture, Reading]:
    """Open an uploaded picture and read it, once the reader is there. Raises ValueError: one sentence for the user."""
    if value is None or not value.get("path"):
        raise PictureError(TEXT["no_picture"])
    path = Path(value["path"])
    if not path.is_file():
        raise PictureError(TEXT["picture_gone"])
    picture = open_picture(path)
    try:
        recognizer = reader.result()
    except Exception as error:
        raise ValueError(TEXT["no_reader"].format(error)) from error
    charset = wishes.charset or None
    reading = recognizer.read(picture, charset=charset, length=wishes.length, ignore_case=wishes.ignore_case)
    return picture, reading


def examples(folder: Path) -> list[tuple[Path, str]]:
    """The example pictures of a folder with their texts, from its metadata.csv (file_name, text)."""
    table = folder / "metadata.csv"
    if not table.is_file():
        return []
    with table.open(encoding="utf-8", newline="") as rows:
        return [(folder / row["file_name"], row["text"]) for row in csv.DictReader(rows)]


# ---------------------------------------------------------------- layout and wiring


def build(reader: Future[Recognizer]) -> None:
    """Lay out the tab inside the current gr.Blocks. reader: the recognizer, perhaps still loading."""
    with gr.Column(elem_id="read"):
        with gr.Column(elem_id="bring"):
            picture = _picture()
            alert = _live("alert")
            _examples(picture)
        with gr.Column(elem_id="result"):
            gr.HTML(f"<h2>{TEXT['result']}</h2>")
            status = _live("status")
            text = gr.HTML(note(TEXT["waiting"]))
            sound = gr.HTML()
            details = gr.HTML()
        with gr.Accordion(TEXT["options"], open=False, elem_id="options"):
            wishes = _wishes()
            again = gr.Button(TEXT["again"], variant="primary")

    shown = [status, alert, text, sound, details]

    def on_read(value: dict[str, Any] | None, *wished: Any) -> Iterator[Shown]:
        yield from show(reader, value, Wishes(*wished))

    def on_change(value: dict[str, Any] | None, *wished: Any) -> Iterator[Shown]:
        yield from on_read(value, *wished) if value else [Shown()]

    for event, handler in ((picture.change, on_change), (again.click, on_read)):
        event(
            handler,
            [picture, *wishes],
            shown,
            preprocess=False,  # as a broken file would end there, in a traceback
            show_progress="hidden",
            trigger_mode="always_last",
            concurrency_id="read",
            concurrency_limit=2,
            api_visibility="private",
        )
    _api(reader)


def _live(role: str) -> gr.HTML:
    """A region that screen readers announce when its text changes; the element itself stays, or some would miss it."""
    return gr.HTML(html_template=f'<div role="{role}">${{value}}</div>', elem_id=role)


def _picture() -> gr.Image:
    gr.HTML(f"<h2>{TEXT['picture']}</h2>")
    return gr.Image(
        type="filepath",
        format="png",  # a camera's frames come in it; the default, WebP, is lossy
        sources=["upload", "webcam", "clipboard"],
        webcam_options=gr.WebcamOptions(mirror=False, constraints={"video": {"facingMode": {"ideal": "environment"}}}),
        label=TEXT["picture"],
        alt_text=TEXT["picture_alt"],
        show_label=False,
        buttons=[],
        height=240,
    )


def _examples(picture: gr.Image) -> None:
    shown = examples(EXAMPLES)
    if not shown:
        return
    gr.set_static_paths(EXAMPLES)  # served from where they lie: copies would be deleted like any upload
    gr.HTML(f"<h3>{TEXT['examples']}</h3>")
    with gr.Row(elem_id="examples"):
        for path, text in shown:
            button = gr.Button(TEXT["example"].format(text), icon=path, min_width=120)
            button.click(lambda path=path: str(path), None, picture, show_progress="hidden", api_visibility="private")


def _wishes() -> list[Component]:
    """The fields of `Wishes`, in their order."""
    return [
        gr.Radio(_choices(CHARSETS), value="", label=TEXT["charset"]),
        gr.Number(label=TEXT["shortest"], precision=0, minimum=0, value=0),
        gr.Number(label=TEXT["longest"], precision=0, minimum=0, value=0),
        gr.Checkbox(label=TEXT["ignore_case"]),
        gr.Radio(_choices(STYLES), value="spell", label=TEXT["style"]),
    ]


def _choices(labels: dict[str, str]) -> list[tuple[str, str]]:
    return [(label, value) for value, label in labels.items()]


def _api(reader: Future[Recognizer]) -> None:
    """The endpoints for programs: /read gives the JSON of `python -m crnn read --json`, /speak a WAV."""

    def read(
        picture: FileData,
        charset: str = "",
        shortest: int | None = None,
        longest: int | None = None,
        ignore_case: bool = False,
    ) -> dict[str, Any]:
        """Read a picture: its text, confidence, characters and alternatives."""
        # Gradio checks that a path is an upload only where it is marked as a file, so an unmarked one is refused.
        upload = FileData.model_validate(picture, context={"validate_meta": True})
        try:
            wishes = Wishes(charset, shortest, longest, ignore_case)
            return read_picture(reader, {"path": upload.path}, wishes)[1].as_dict()
        except ValueError as error:
            raise gr.Error(str(error), print_exception=False) from error

    def speak(text: str, style: str = "spell", rate: int = 150) -> FileData:
        """Say a text, spelled ("spell"), with the ICAO alphabet ("phonetic") or as it stands ("plain"); gives a WAV."""
        try:
            wav = synthesize(words(text, style), rate)
        except (SpeechError, ValueError) as error:
            raise gr.Error(str(error), print_exception=False) from error
        path = Path(mkdtemp(dir=get_upload_folder()), "speech.wav")  # Gradio deletes it with the other files there
        path.write_bytes(wav)
        return FileData(path=str(path))

    api(read, api_name="read", concurrency_id="read")
    api(speak, api_name="speak", concurrency_limit=2)
