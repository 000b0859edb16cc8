"""The Read tab: a picture in; its text, its sound and where the reader looked out."""

from __future__ import annotations

import csv
import functools
import logging
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from html import escape
from math import ceil
from pathlib import Path
from tempfile import mkdtemp
from typing import TYPE_CHECKING, Any, NamedTuple

import gradio as gr
from gradio import FileData
from gradio.events import api
from gradio.utils import get_upload_folder

from crnn.decode import Alternative, Reading
from crnn.image import Picture, PictureError, open_picture
from crnn.speech import RATES, SpeechError, synthesize, voices, words
from crnn.tabs.parts import heading, in_english, live
from crnn.tabs.readers import Readers
from crnn.tabs.result import details_html, note, sound_html, status_line, text_html
from crnn.tabs.session_cache import CachedReading, SessionCache
from crnn.tabs.texts import CHARSETS, I18N, LANGUAGES, STYLES, TEXTS, Texts, language_of

if TYPE_CHECKING:
    from crnn.recognizer import Recognizer

EXAMPLES = Path(__file__).parent.parent.parent / "assets" / "examples"
BRING_JS = (Path(__file__).parent / "bring.js").read_text(encoding="utf-8")
CORRECT_JS = """element.addEventListener("click", ({ target }) => {
  const { number, rival } = target.closest("[data-rival]")?.dataset ?? {};
  if (rival) trigger("select", { number: Number(number), text: rival });
});"""

LARGEST_MB = 20  # of a picture's file, in 2**20 bytes; a phone's photo stays below
LONGEST = 1000  # characters, where no bound is given: more than any picture has frames
WHOLE = (0, 0, 100, 100)  # left, top, right, bottom edge in percent: nothing is cropped
RATE = 150  # words a minute
MOST_KEPT = 100  # reads, each with its picture, of up to 150 MB
KEYS = {
    "Ctrl+V": "key_paste", "R": "key_play", "S": "key_slower", "Esc": "key_quiet", "C": "key_copy", "T": "key_text",
    "← →": "key_arrows",
}  # fmt: skip
PROBLEMS = ("empty_clipboard", "clipboard_denied", "not_uploaded", "camera_denied", "no_camera")  # of bring.js

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ReadOptions:
    """What the reader may take for granted, and how the text is to be said."""

    charset: str = ""  # a name of crnn.charset.NAMED; empty: any
    own: str | None = ""  # characters, in place of a name
    shortest: int | None = 0  # 0 or none: no bound
    longest: int | None = 0
    ignore_case: bool = False
    style: str = "spell"
    language: str = "en"
    voice: str | None = None  # the engine's own
    rate: int | None = RATE  # words a minute; none: a field that was emptied to type another

    @property
    def expected(self) -> tuple[Any, ...]:
        """What one expectation differs from another in; an emptied field is like one that was left alone."""
        return self.charset, self.own or "", self.shortest or 0, self.longest or 0, self.ignore_case

    def constraints(self, texts: Texts) -> dict[str, Any]:
        """As the recognizer takes them. Raises PageError where the bounds contradict each other."""
        shortest, longest = int(self.shortest or 1), int(self.longest or LONGEST)
        if shortest > longest:
            raise PageError(texts["length_order"].format(shortest, longest))
        length = (shortest, longest) if self.shortest or self.longest else None
        return {"charset": self.own or self.charset or None, "length": length, "ignore_case": self.ignore_case}


class Shown(NamedTuple):
    """What the page shows, in the order of its output components; all of it HTML."""

    status: str = ""
    alert: str = ""
    text: str = ""
    sound: str = ""
    details: str = ""
    reader: str = ""


# ---------------------------------------------------------------- handlers


class PageError(ValueError):
    """One sentence for the user, in the language of the page."""


class GoneError(PageError):
    """What was read is not kept any more; what the page shows of it stays."""


class Visitor(NamedTuple):
    """Who asks: one browser tab, and the language that it shows the page in."""

    session: str
    language: str

    @classmethod
    def of(cls, request: gr.Request) -> Visitor:
        return cls(request.session_hash or "", language_of(request))


def explained(steps: Callable[..., Iterator[Shown]]) -> Callable[..., Iterator[Shown]]:
    """Make an error within a method of `ReadHandlers` one sentence in `Shown.alert`; then nothing is raised."""

    @functools.wraps(steps)
    def explain(handlers: ReadHandlers, visitor: Visitor, *arguments: Any, **options: Any) -> Iterator[Shown]:
        texts = TEXTS[visitor.language]
        try:
            yield from steps(handlers, visitor, *arguments, **options)
        except GoneError as error:
            yield Shown(*[gr.skip()] * len(Shown._fields))._replace(alert=escape(str(error)))
        except PageError as error:
            yield handlers.blank(visitor, alert=escape(str(error)))
        except ValueError as error:
            blamed = "bad_picture" if isinstance(error, PictureError) else "bad_wish"
            yield handlers.blank(visitor, alert=texts[blamed].format(in_english(visitor.language, error)))
        except Exception:
            log.exception("A read failed.")
            yield handlers.blank(visitor, alert=texts["failed"])

    return explain


class ReadHandlers:
    """Where pictures are read. Each method yields what the page shows, what is there first first."""

    def __init__(self, readers: Readers, cache: SessionCache[CachedReading]) -> None:
        """readers: who reads for whom. cache: keeps each session's last read."""
        self.readers = readers
        self.cache = cache
        self._turns: dict[str, object] = {}  # what stands for each session's latest read
        self._asked: dict[str, tuple[Any, ...]] = {}  # what each session's latest reading was expected to be

    def begin(self, visitor: Visitor) -> object:
        """Forget the session's last read, whatever becomes of the next one; returns what stands for that."""
        self.cache.drop(visitor.session)
        self._asked.pop(visitor.session, None)
        turn = self._turns[visitor.session] = object()
        return turn

    def is_new(self, visitor: Visitor, options: ReadOptions) -> bool:
        """Whether something was read, and is expected to be otherwise now; who only leaves a field changes nothing."""
        return self._asked.get(visitor.session, options.expected) != options.expected

    def leave(self, session: str) -> None:
        """Forget a session whose page was closed."""
        self.cache.drop(session)
        self._turns.pop(session, None)
        self._asked.pop(session, None)

    def blank(self, visitor: Visitor, **shown: str) -> Shown:
        """What the page shows while there is no reading: the given, and which reader the next one will be of."""
        return Shown(reader=reader_line(self.readers.has_own(visitor.session), visitor), **shown)

    @explained
    def read(
        self, visitor: Visitor, value: dict[str, Any] | None, options: ReadOptions, crop: Sequence[float | None] = WHOLE
    ) -> Iterator[Shown]:
        """Read the picture that the page holds, or the part of it within the edges of `crop`, in percent.

        value: what gr.Image sends, unprocessed: Gradio's own preprocessing has but a traceback for a broken file.
        """
        turn = self.begin(visitor)
        self._asked[visitor.session] = options.expected
        texts = TEXTS[visitor.language]
        reader = self.readers.of(visitor.session)
        busy = texts["reading" if reader.done() else "loading"]
        yield self.blank(visitor, status=busy, text=note(busy))
        picture = cropped(opened(value, texts), crop, texts)
        recognizer = loaded(reader, texts)
        look = recognizer.look(picture)
        reading = recognizer.decode(look, **options.constraints(texts))
        kept = CachedReading(picture, recognizer, reader is not self.readers.shipped, look, reading)
        if self._turns.get(visitor.session) is turn:  # else a later picture is being read, or has been
            yield from self._present(visitor, kept, options)

    @explained
    def decode(self, visitor: Visitor, options: ReadOptions) -> Iterator[Shown]:
        """Decode the last picture again, under other constraints."""
        kept = self._kept(visitor)
        self._asked[visitor.session] = options.expected
        texts = TEXTS[visitor.language]
        reading = kept.recognizer.decode(kept.look, **options.constraints(texts))
        lost = texts["corrections_gone"] if kept.by_user else ""
        yield from self._present(visitor, replace(kept, reading=reading, by_user=False), options, lost)

    @explained
    def correct(self, visitor: Visitor, number: int, text: str, options: ReadOptions) -> Iterator[Shown]:
        """Put the user's character in place of the one with this number."""
        kept = self._kept(visitor)
        kept = replace(kept, reading=corrected(kept.reading, number, text), by_user=True)
        yield from self._present(visitor, kept, options)

    @explained
    def say(self, visitor: Visitor, options: ReadOptions) -> Iterator[Shown]:
        """Say the text again, in another way. All stays as it is until there is the sound."""
        kept = self._kept(visitor)
        *_, shown = self._present(visitor, kept, options)
        if self.cache.get(visitor.session) is kept:
            yield shown

    def _kept(self, visitor: Visitor) -> CachedReading:
        kept = self.cache.get(visitor.session)
        if kept is None:
            raise GoneError(TEXTS[visitor.language]["picture_gone"])
        return kept

    def _present(self, visitor: Visitor, kept: CachedReading, options: ReadOptions, first: str = "") -> Iterator[Shown]:
        """Keep a reading, and yield its text at once, then its sound, then where the reader looked.

        What is to be said `first` is announced before the text. It ends where another reading has taken its place: two
        events of a page may run side by side.
        """
        self.cache.put(visitor.session, kept)
        language, reading = visitor.language, kept.reading
        shown = Shown(
            status=f"{first} {status_line(reading, language, kept.by_user)}".lstrip(),
            text=text_html(reading, language),
            reader=reader_line(kept.own, visitor),
        )
        yield shown
        said = words(reading, options.style, options.ignore_case, language=options.language)
        try:
            wav = synthesize(said, rate_within(options.rate), options.voice)
            shown = shown._replace(sound=sound_html(wav, language))
        except SpeechError as error:  # costs the sound, not the rest
            sentence = TEXTS[language]["no_voice"].format(in_english(visitor.language, error))
            shown = shown._replace(alert=sentence)
        if self.cache.get(visitor.session) is kept:
            yield shown
            details = details_html(kept.picture, reading, language)
        if self.cache.get(visitor.session) is kept:
            yield shown._replace(details=details)


def loaded(reader: Future[Recognizer], texts: Texts) -> Recognizer:
    """Wait for the recognizer. Raises PageError where it could not be loaded."""
    try:
        return reader.result()
    except Exception as error:
        raise PageError(texts["no_reader"].format(error)) from error


def opened(value: dict[str, Any] | None, texts: Texts) -> Picture:
    """Open an uploaded picture. Raises PageError where there is none or it is too large, PictureError where broken."""
    if value is None or not value.get("path"):
        raise PageError(texts["no_picture"])
    path = Path(value["path"])
    if not path.is_file():
        raise PageError(texts["picture_gone"])
    size_mb = ceil(path.stat().st_size / 2**20)
    if size_mb > LARGEST_MB:
        raise PageError(texts["too_large"].format(size_mb, LARGEST_MB))
    return open_picture(path)


def brought(value: dict[str, Any] | None) -> dict[str, Any] | None:
    """What gr.Image sends, unprocessed, if the page brought it; else none: Gradio has not checked where it lies."""
    path = Path((value or {}).get("path") or "/").resolve()
    ours = (Path(get_upload_folder()), EXAMPLES)
    return value if any(path.is_relative_to(folder.resolve()) for folder in ours) else None


def cropped(picture: Picture, crop: Sequence[float | None], texts: Texts) -> Picture:
    """The part of a picture (H, W, 3) within the left, top, right and bottom edge, in percent of its width and height.

    An edge of None, of a field that was emptied to type another, crops nothing. Raises PageError where nothing is left.
    """
    rows, columns = picture.shape[:2]
    edges = [outer if edge is None else min(max(edge, 0), 100) for edge, outer in zip(crop, WHOLE, strict=True)]
    left, top, right, bottom = (
        round(edge / 100 * side) for edge, side in zip(edges, (columns, rows, columns, rows), strict=True)
    )
    if left >= right or top >= bottom:
        raise PageError(texts["crop_order"])
    whole = (left, top, right, bottom) == (0, 0, columns, rows)
    return picture if whole else picture[top:bottom, left:right].copy()  # the rest needn't be kept


def rate_within(rate: float | None) -> int:
    """The rate of speech within the slider's bounds: its number field sends whatever is typed, key by key."""
    return min(max(int(rate or RATE), RATES[0]), RATES[1])


def corrected(reading: Reading, number: int, text: str) -> Reading:
    """The reading with the user's character at this number: the user is sure of it, and of the others as before.

    The old one becomes the first alternative. Raises IndexError where there is no such character.
    """
    if number < 0:
        raise IndexError(f"There is no character {number}.")
    old = reading.characters[number]
    others = (Alternative(old.text, old.confidence), *(other for other in old.alternatives if other.text != text))
    new = replace(old, text=text, confidence=1.0, alternatives=others)
    characters = (*reading.characters[:number], new, *reading.characters[number + 1 :])
    return replace(
        reading,
        text="".join(character.text for character in characters),
        confidence=min(1.0, reading.confidence / max(old.confidence, 1e-9)),
        characters=characters,
    )


def among_uploads(name: str) -> Path:
    """Where to write a file of this name for the page: Gradio deletes it with what was uploaded."""
    uploads = Path(get_upload_folder())
    uploads.mkdir(parents=True, exist_ok=True)  # Gradio makes it at the first upload
    return Path(mkdtemp(dir=uploads), name)


def voice_field(language: str, chosen: str | None = None) -> gr.Dropdown:
    """The engine's voices for a language; without a chosen one its plain voice, and none where there is no engine."""
    try:
        known = voices()
    except SpeechError:  # a read will say so
        known = ()
    speaking = [voice for voice in known if any(code.split("-")[0] == language for code in voice.languages)]
    speaking.sort(key=lambda voice: len(voice.id))  # "roa/fr" before "roa/fr-be"
    ids = [voice.id for voice in speaking]
    value = chosen if chosen in ids else next(iter(ids), None)
    return gr.Dropdown([(voice.name, voice.id) for voice in speaking], value=value)


def restored(settings: list[Any] | None, request: gr.Request) -> list[Any]:
    """The settings as this browser remembers them, or else as the page's language suggests.

    At a first visit the others stay as they are: this may come after the visitor has changed one.
    """
    if settings is None:
        language = language_of(request)
        return [gr.skip(), gr.skip(), gr.skip(), language, voice_field(language), gr.skip()]
    auto, shortcuts, style, language, voice, rate = settings
    return [auto, shortcuts, style, language, voice_field(language, voice), rate_within(rate)]


def examples(folder: Path) -> list[tuple[Path, str]]:
    """The example pictures of a folder with their texts, from its metadata.csv (file_name, text)."""
    table = folder / "metadata.csv"
    if not table.is_file():
        return []
    with table.open(encoding="utf-8", newline="") as rows:
        return [(folder / row["file_name"], row["text"]) for row in csv.DictReader(rows)]


def reader_line(own: bool, visitor: Visitor) -> str:
    """What says that the session's own reader reads; the shipped one goes without saying."""
    return note(TEXTS[visitor.language]["own_reader"]) if own else ""


# ---------------------------------------------------------------- layout and wiring


def build(demo: gr.Blocks, readers: Readers) -> gr.HTML:
    """Lay out the tab inside `demo`, and return where `reader_line` stands, for who gives a session its own one.

    Args:
        demo: the page.
        readers: who reads for whom.
    """
    handlers = ReadHandlers(readers, SessionCache(lambda session: _forget(demo, session), most=MOST_KEPT))
    settings = gr.BrowserState(None, storage_key="captcha-reader", secret="no secret, so that a restart can read it")
    with gr.Column(elem_id="read"):
        with gr.Column(elem_id="bring"):
            picture = _picture()
            with gr.Row(elem_id="start"):
                start = gr.Button(I18N("read"), variant="primary", min_width=80)
                gr.Button(I18N("paste"), elem_id="paste", min_width=80)  # bring.js listens to it
            pasted = gr.HTML(html_template="", js_on_load=BRING_JS)
            auto = gr.Checkbox(True, label=I18N("auto"))
            alert = live("alert")
        with gr.Column(elem_id="result"):
            heading(2, "result")
            status = live("status")
            gr.HTML('<div role="status" id="told"></div>')  # page.js says there what it did
            text = gr.HTML(note(str(I18N("waiting"))))
            own_reader = gr.HTML(elem_id="own-reader")
            sound = gr.HTML()
            details = gr.HTML(js_on_load=CORRECT_JS)
        _examples(picture)
        with gr.Column(elem_id="options"):
            crop, expected, said = _crop(), _expected(), _said()
            shortcuts = _keyboard()

    shown = [status, alert, text, sound, details, own_reader]
    options = [*expected, *said]
    settings_fields = [auto, shortcuts, *said]

    def on_picture(request: gr.Request, value: Any, read_it: bool, *fields: Any) -> Iterator[tuple[Any, ...]]:
        """A new picture is shown whole, whatever was cropped of the last one."""
        cropped, wished = fields[: len(crop)], fields[len(crop) :]
        stay = [gr.skip()] * len(crop)  # the edges may be moved while it is read
        visitor, value = Visitor.of(request), brought(value)
        if value and read_it:
            steps = handlers.read(visitor, value, ReadOptions(*wished))
        else:
            handlers.begin(visitor)
            waiting = TEXTS[visitor.language]["press_read" if value else "waiting"]
            steps = iter([handlers.blank(visitor, status=waiting if value else "", text=note(waiting))])
        yield *next(steps), *(stay if cropped == WHOLE else WHOLE)
        for step in steps:
            yield *step, *stay

    def on_read(request: gr.Request, value: Any, *fields: Any) -> Iterator[Shown]:
        yield from handlers.read(
            Visitor.of(request), brought(value), ReadOptions(*fields[len(crop) :]), fields[: len(crop)]
        )

    def on_expect(request: gr.Request, value: Any, *fields: Any) -> Iterator[Any]:
        visitor, value = Visitor.of(request), brought(value)
        if value is None or not handlers.is_new(visitor, ReadOptions(*fields[len(crop) :])):
            yield gr.skip()
        elif handlers.cache.get(visitor.session) is None and Path(value["path"]).is_file():
            yield from on_read(request, value, *fields)
        else:
            yield from handlers.decode(visitor, ReadOptions(*fields[len(crop) :]))

    def on_say(request: gr.Request, value: Any, *wished: Any) -> Iterator[Any]:
        visitor = Visitor.of(request)
        if value is None or handlers.cache.get(visitor.session) is None:
            yield gr.skip()
        else:
            yield from handlers.say(visitor, ReadOptions(*wished))

    def on_rate(request: gr.Request, value: Any, *wished: Any) -> Iterator[Any]:
        """The field sends what is typed key by key: on the way to 120, 1 and 12 are not to be heard."""
        if RATES[0] <= (ReadOptions(*wished).rate or 0) <= RATES[1]:
            yield from on_say(request, value, *wished)
        else:
            yield gr.skip()

    def on_correct(event: gr.EventData, request: gr.Request, *wished: Any) -> Iterator[Shown]:
        yield from handlers.correct(Visitor.of(request), event.number, event.text, ReadOptions(*wished))

    def on_paste(value: Any) -> str:
        return FileData.model_validate(value, context={"validate_meta": True}).path  # marked, so Gradio has checked it

    def on_problem(event: gr.EventData, request: gr.Request) -> Iterator[str]:
        yield ""  # said again, it must change to be announced
        yield TEXTS[language_of(request)][event.problem if event.problem in PROBLEMS else "failed"]

    event_options: dict[str, Any] = {
        "preprocess": False,  # as a broken file would end there, in a traceback
        "show_progress": "hidden",
        "concurrency_id": "read",
        "concurrency_limit": 2,
        "api_visibility": "private",
    }
    listen = functools.partial(gr.on, trigger_mode="always_last", **event_options)
    style, language, voice, rate = said
    listen(picture.change, on_picture, [picture, auto, *crop, *options], [*shown, *crop])
    listen([start.click, *(edge.input for edge in crop)], on_read, [picture, *crop, *options], shown)
    charset, *typed, ignore_case = expected
    finished = [event for field in typed for event in (field.submit, field.blur)]  # `input` misses pasting and deleting
    listen([charset.input, ignore_case.input, *finished], on_expect, [picture, *crop, *options], shown)
    listen(details.select, on_correct, options, shown)
    listen(pasted.input, on_paste, pasted, picture)
    pasted.problem(on_problem, None, alert, show_progress="hidden", api_visibility="private")
    # Not on voice.change: opening the page changes it too, perhaps when the first picture is being said.
    listen(language.input, voice_field, language, voice).then(on_say, [picture, *options], shown, **event_options)
    listen([style.input, voice.input], on_say, [picture, *options], shown)
    listen(rate.input, on_rate, [picture, *options], shown)
    listen([field.input for field in settings_fields], lambda *values: values, settings_fields, settings)
    demo.load(restored, settings, settings_fields, show_progress="hidden", api_visibility="private")

    def on_leave(request: gr.Request) -> None:
        handlers.leave(request.session_hash or "")
        _forget(demo, request.session_hash or "")

    demo.unload(on_leave)
    _api(readers.shipped)
    return own_reader


def _forget(demo: gr.Blocks, session: str) -> None:
    """Drop what Gradio itself keeps of a session: the last value of each component, the sound among them."""
    demo.state_holder.session_data.pop(session, None)


def _picture() -> gr.Image:
    heading(2, "picture")
    return gr.Image(
        type="filepath",
        format="png",  # a camera's frames come in it; the default, WebP, is lossy
        sources=["upload", "webcam"],  # bring.js pastes
        webcam_options=gr.WebcamOptions(mirror=False, constraints={"video": {"facingMode": {"ideal": "environment"}}}),
        label=I18N("picture"),
        alt_text=str(I18N("picture_alt")),
        show_label=False,
        buttons=[],
        height=240,
    )


def _examples(picture: gr.Image) -> None:
    shown = examples(EXAMPLES)
    if not shown:
        return
    gr.set_static_paths(EXAMPLES)  # served from where they lie: copies would be deleted like any upload
    with gr.Column():
        heading(2, "examples")
        with gr.Row(elem_id="examples"):
            for path, text in shown:
                button = gr.Button(f"{I18N('example')} {text}", icon=path, min_width=120)
                button.click(
                    lambda path=path: str(path), None, picture, show_progress="hidden", api_visibility="private"
                )


# Fields are Any below: Gradio makes their events at run time, where mypy does not see them.


def _crop() -> list[Any]:
    """Sliders, not a frame to drag: they work by keyboard and touch alike, and the result shows what is left."""
    with gr.Accordion(I18N("crop"), open=False):
        edges = zip(("left", "top", "right", "bottom"), WHOLE, strict=True)
        return [gr.Slider(0, 100, edge, step=1, label=I18N(name)) for name, edge in edges]


def _expected() -> list[Any]:
    """The first fields of `ReadOptions`, in their order."""
    with gr.Accordion(I18N("expect"), open=False):
        return [
            gr.Radio([(str(I18N(text)), value) for text, value in CHARSETS.items()], value="", label=I18N("charset")),
            gr.Textbox(label=I18N("own")),
            gr.Number(label=I18N("shortest"), precision=0, minimum=0, value=0),
            gr.Number(label=I18N("longest"), precision=0, minimum=0, value=0),
            gr.Checkbox(label=I18N("ignore_case")),
        ]


def _said() -> list[Any]:
    """The other fields of `ReadOptions`, in their order."""
    with gr.Accordion(I18N("say"), open=False):
        return [
            gr.Radio([(str(I18N(style)), style) for style in STYLES], value="spell", label=I18N("style")),
            gr.Radio([(name, code) for code, name in LANGUAGES.items()], value="en", label=I18N("language")),
            gr.Dropdown([], label=I18N("voice")),
            gr.Slider(*RATES, RATE, step=10, label=I18N("rate")),
        ]


def _keyboard() -> gr.Checkbox:
    """The keys, and the switch that turns the single ones off."""
    heading(2, "keyboard")
    for key, meaning in KEYS.items():
        gr.HTML(I18N(meaning), html_template=f"<p><kbd>{key}</kbd> ${{value}}</p>")
    return gr.Checkbox(True, label=I18N("shortcuts"), elem_id="shortcuts")


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
        options, texts = ReadOptions(charset, "", shortest, longest, ignore_case), TEXTS["en"]
        try:
            opened_picture = opened({"path": upload.path}, texts)
            return loaded(reader, texts).read(opened_picture, **options.constraints(texts)).as_dict()
        except ValueError as error:
            raise gr.Error(str(error), print_exception=False) from error

    def speak(text: str, style: str = "spell", rate: int = RATE) -> FileData:
        """Say a text, spelled ("spell"), with the ICAO alphabet ("phonetic") or as it stands ("plain"); gives a WAV."""
        try:
            wav = synthesize(words(text, style), rate)
        except (SpeechError, ValueError) as error:
            raise gr.Error(str(error), print_exception=False) from error
        path = among_uploads("speech.wav")
        path.write_bytes(wav)
        return FileData(path=str(path))

    # A queue of its own: the page's reads shall not wait behind a program's, nor share the lower of two limits.
    api(read, api_name="read", concurrency_limit=2)
    api(speak, api_name="speak", concurrency_limit=2)
