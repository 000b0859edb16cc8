"""The Train tab: labelled pictures in; the reader learns them in a process of its own; what it learnt out."""

from __future__ import annotations

import functools
import logging
import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import gradio as gr
from gradio import FileData
from gradio.events import api

from crnn.styles import STYLES
from crnn.tabs import label
from crnn.tabs.learned import measures_html, progress_html, report_counts, report_html, result_html, status_line
from crnn.tabs.parts import heading, in_english, live, paragraph
from crnn.tabs.read import PageError, Visitor, among_uploads, loaded, reader_line
from crnn.tabs.readers import Readers
from crnn.tabs.result import note
from crnn.tabs.texts import I18N, TEXTS, Texts
from crnn.tabs.training_queue import TOKEN_LENGTHS, BusyError, QueueFullError, State, TrainingOptions, TrainingQueue
from crnn.tabs.workspace import Report, Upload, Workspace

if TYPE_CHECKING:
    import pandas as pd

    from crnn.recognizer import Recognizer

MINUTES = 3.0  # of a training, where nobody says otherwise
MOST_DRAWN = 1000  # pictures at once
LAYERS = ("all", "head")
TICK_S = 1.0  # between looks at a training
SAY_S = 10.0  # at the least between two sentences about it, so that a screen reader is not flooded
API_S = 2.0  # between two messages of the endpoint
COLOURS = ("#3b82f6", "#ea580c")  # of the lines, on light and on dark
CHECKPOINT_ZIP = "fine-tuned-reader.zip"

# The button that was pressed goes away, and the focus with it: it moves to the one that takes its place.
STEER_JS = """() => setTimeout(() => {
  const { activeElement } = document;
  if (activeElement === document.body || activeElement.closest("#training"))
    document.querySelector("#steer button:not(:disabled)")?.focus();
}, 100)"""

# A browser makes its own secret at its first visit, at once: one from the server could come after the first upload.
TOKEN_JS = """(token) => token || Array.from(
  crypto.getRandomValues(new Uint8Array(32)), (byte) => byte.toString(16).padStart(2, "0")
).join("")"""

log = logging.getLogger(__name__)


class Seen(NamedTuple):
    """What an open page shows of a training already."""

    phase: tuple[Any, ...] = ()
    said_at: float = 0.0  # of the monotonic clock, s
    points: int = -1


class Shown(NamedTuple):
    """What the page shows of a training; None: what stands there stays."""

    seen: Seen
    status: str | None
    progress: str
    loss: pd.DataFrame | None
    exact: pd.DataFrame | None
    measures: str | None
    result: str | None
    state: State


# ---------------------------------------------------------------- handlers


def explained(texts: Texts, language: str, error: Exception) -> str:
    """One sentence about an error, for a person."""
    if isinstance(error, PageError):
        return escape(str(error))
    if isinstance(error, BusyError):
        return texts["busy"]
    if isinstance(error, QueueFullError):
        return texts["queue_full"]
    if isinstance(error, ValueError):
        return texts["not_possible"].format(in_english(language, error))
    log.error("The Train tab failed.", exc_info=error)
    return texts["train_failed"]


class TrainHandlers:
    """What a visitor can do on the tab. Methods raise PageError or another ValueError with one sentence."""

    def __init__(self, trainings: TrainingQueue, reader: Future[Recognizer], readers: Readers) -> None:
        """reader: the one that is fine-tuned, perhaps still loading. readers: of the Read tab."""
        self.trainings, self.reader, self.readers = trainings, reader, readers

    def workspace(self, token: Any, texts: Texts) -> Workspace:
        """The visitor's workspace. Raises PageError where the page has no token."""
        if not is_token(token):
            raise PageError(texts["no_visitor"])
        return self.trainings.workspace(token)

    def report(self, workspace: Workspace, texts: Texts) -> Report:
        """What the pictures are good for; waits for the reader where there are any."""
        if not workspace.examples():
            return Report()
        recognizer = loaded(self.reader, texts)
        config = recognizer.model.config
        return workspace.report(recognizer.charset, config.height, config.stride)

    def bring(self, workspace: Workspace, uploads: Iterable[Upload], named: bool, language: str) -> str:
        """Add what was uploaded; returns what could not be, as HTML."""
        problems = workspace.bring(uploads, named, self.trainings.rules.limits)
        return TEXTS[language]["not_possible"].format(in_english(language, *problems)) if problems else ""

    def draw(self, workspace: Workspace, count: Any, styles: Sequence[str] | None, texts: Texts) -> None:
        """Add drawn pictures."""
        most = min(MOST_DRAWN, self.trainings.rules.pictures)
        if not isinstance(count, int | float) or not 1 <= count <= most:
            raise PageError(texts["count_range"].format("0" if count is None else count, most))
        self.trainings.draw(workspace, int(count), [style for style in styles or [] if style in STYLES])

    def start(self, workspace: Workspace, options: TrainingOptions, texts: Texts) -> None:
        """Begin a training, or wait for its turn."""
        usable = self.report(workspace, texts).usable
        if len({example.text.casefold() for example in usable}) < 2:
            raise PageError(texts["too_few"].format(len(usable)))
        self.trainings.start(workspace, options)

    def resume(self, workspace: Workspace) -> None:
        """Go on with an interrupted training."""
        state = self.trainings.state(workspace)
        self.trainings.start(workspace, state.options or TrainingOptions(), resume=True)

    def show(self, workspace: Workspace, seen: Seen, language: str) -> Shown:
        """What the page shows of the visitor's training, as far as it does not show it yet."""
        state = self.trainings.state(workspace)
        phase = (state.phase, state.place, state.stopping)
        points = len(state.steps) + len(state.evaluated)
        now = time.monotonic()
        news = phase != seen.phase
        say = news or (state.active and now - seen.said_at >= SAY_S)
        redraw = news or points != seen.points
        return Shown(
            Seen(phase, now if say else seen.said_at, points),
            status_line(state, language) if say else None,
            progress_html(state, language),
            losses(state, TEXTS[language]) if redraw else None,
            exacts(state, TEXTS[language]) if redraw else None,
            measures_html(state, language) if redraw else None,
            (result_html(state.done, workspace.pictures, language) if state.done else "") if news else None,
            state,
        )

    def checkpoint(self, workspace: Workspace, texts: Texts) -> Path:
        """Write the finished checkpoint to a zip, which Gradio deletes with the other files there."""
        self._check_learnt(workspace, texts)
        target = among_uploads(CHECKPOINT_ZIP)
        workspace.pack(target)
        return target

    def use(self, workspace: Workspace, session: str, texts: Texts) -> None:
        """Read with the finished checkpoint, in this session alone."""
        self._check_learnt(workspace, texts)
        try:
            self.readers.use(session, workspace.run).result()
        except ValueError:  # reads would fail with it
            self.readers.back(session)
            raise

    def remove(self, workspace: Workspace, session: str) -> None:
        """Remove the visitor's pictures and all that was learnt from them, in this session's Read tab too."""
        self.trainings.remove(workspace)
        self.readers.back(session)

    def push(self, workspace: Workspace, repo: str, token: str, private: bool, texts: Texts) -> str:
        """Push the finished checkpoint to the Hub; returns its address."""
        from crnn.hub import push

        self._check_learnt(workspace, texts)
        return push(workspace.run, (repo or "").strip(), (token or "").strip(), private)

    def _check_learnt(self, workspace: Workspace, texts: Texts) -> None:
        if not finished(self.trainings.state(workspace)):
            raise PageError(texts["not_learnt"])


def is_token(token: Any) -> bool:
    """Whether this is what a browser keeps to find its workspace again."""
    return isinstance(token, str) and len(token) in TOKEN_LENGTHS


def finished(state: State) -> bool:
    """Whether there is a result and a checkpoint."""
    return state.phase == "done"


def losses(state: State, texts: Texts) -> pd.DataFrame:
    """The loss over the time, s: in training, and of the held-out pictures."""
    import pandas as pd  # takes a while, which the page's start shall not wait for

    kinds = texts["loss_training"], texts["loss_measured"]
    rows: list[tuple[float, float | None, str]] = [
        (0.0, None, kind) for kind in kinds
    ]  # else a later line is not drawn
    rows += [(one["spent_s"], one["loss"], texts["loss_training"]) for one in state.steps]
    rows += [(one["spent_s"], one["loss"], texts["loss_measured"]) for one in state.evaluated]
    return pd.DataFrame(rows, columns=["seconds", "loss", "kind"])


def exacts(state: State, texts: Texts) -> pd.DataFrame:
    """The held-out texts that are right, in per cent, over the time, s."""
    import pandas as pd

    rows = [(0.0, 100 * state.before["exact"])] if state.before else []
    rows += [(one["spent_s"], 100 * one["exact"]) for one in state.evaluated]
    return pd.DataFrame(rows, columns=["seconds", "exact"])


def uploads_of(values: Any) -> list[Upload]:
    """What gr.File sends, unprocessed; Gradio has checked that these are uploads."""
    paths = [(Path(value["path"]), value.get("orig_name")) for value in values or []]
    return [Upload(path, str(name or path.name)) for path, name in paths]


# ---------------------------------------------------------------- layout and wiring


def visitor() -> gr.BrowserState:
    """The secret by which a browser finds its workspace again."""
    return gr.BrowserState(storage_key="captcha-reader-training", secret="no secret, so that a restart can read it")


def build(
    demo: gr.Blocks,
    token: gr.BrowserState,
    trainings: TrainingQueue,
    reader: Future[Recognizer],
    readers: Readers,
    own_reader: gr.HTML,
) -> None:
    """Lay out the tab inside `demo`.

    Args:
        demo: the page.
        token: of `visitor`.
        trainings: where trainings run.
        reader: the recognizer that is fine-tuned, perhaps still loading.
        readers: of the Read tab, which can use what was learnt.
        own_reader: where the Read tab says so.
    """
    handlers = TrainHandlers(trainings, reader, readers)
    seen = gr.State(Seen())
    timer = gr.Timer(TICK_S, active=False)
    with gr.Column(elem_id="train"):
        paragraph("train_lede", "train-lede")
        with gr.Column(elem_id="workspace"):
            with gr.Column(elem_id="pictures"):
                heading(2, "pictures")
                files: Any = gr.File(file_count="multiple", label=I18N("pictures_file"), height=150)
                named = gr.Checkbox(True, label=I18N("pictures_named"), info=I18N("pictures_hint"))
                with gr.Accordion(I18N("pictures_draw"), open=False):
                    styles = gr.Dropdown([*STYLES], multiselect=True, label=I18N("draw_styles"))
                    most = min(MOST_DRAWN, trainings.rules.pictures)
                    count = gr.Number(min(50, most), precision=0, label=I18N("draw_count"))
                    draw: Any = gr.Button(I18N("draw"))
                pictures_status, pictures_alert = live("status", "pictures"), live("alert", "pictures")
                report = gr.HTML(note(str(I18N("report_none"))), elem_id="report")
                with gr.Row(visible=False, elem_id="over") as over_row:
                    over: Any = gr.Button(I18N("start_over"), min_width=80)
                    paragraph("start_over_hint")
            with gr.Column(elem_classes="course"):
                labelling = label.build(lambda secret: trainings.workspace(secret).pictures, reader, token)
                with gr.Column(elem_id="training"):
                    heading(2, "training")
                    options = _options(trainings.rules.minutes)
                    train_alert = live("alert", "train")
                    with gr.Row(elem_id="steer"):
                        train: Any = gr.Button(I18N("train"), variant="primary", min_width=80)
                        resume: Any = gr.Button(I18N("go_on"), variant="primary", visible=False, min_width=80)
                        stop: Any = gr.Button(I18N("stop"), visible=False, min_width=80)
                    train_status = live("status", "train")
                    progress = gr.HTML()
                    with gr.Row(visible=False, elem_id="curves") as curves:
                        loss = _plot("loss", "kind")
                        exact = _plot("exact", None)
                    measures = gr.HTML(elem_id="measures")
                with gr.Column(visible=False, elem_id="learnt") as learnt:
                    heading(2, "learnt")
                    result = gr.HTML()
                    heading(3, "take")
                    with gr.Row(elem_id="take"):
                        use: Any = gr.Button(I18N("use_in_read"), variant="primary", min_width=160)
                        back: Any = gr.Button(I18N("use_shipped"), min_width=160)
                        download: Any = gr.Button(I18N("download_checkpoint"), min_width=160)
                    paragraph("train_again")
                    packed = gr.DownloadButton(elem_id="packed")  # not shown; holds the file; DOWNLOAD_JS fetches it
                    with gr.Accordion(I18N("hub"), open=False):
                        repo: Any = gr.Textbox(label=I18N("hub_repo"), max_length=200)
                        secret: Any = gr.Textbox(label=I18N("hub_token"), type="password", max_length=200)
                        private = gr.Checkbox(True, label=I18N("hub_private"))
                        push: Any = gr.Button(I18N("hub_push"))
                learnt_status, learnt_alert = live("status", "learnt"), live("alert", "learnt")
        keep = trainings.rules.keep_minutes
        gr.HTML(
            I18N("train_privacy"), html_template=f"<p>${{value.replace('{{}}', '{keep}')}}</p>", elem_id="train-privacy"
        )

    panel = [seen, train_status, progress, curves, loss, exact, measures, learnt, result, train, resume, stop, timer]

    def updates(shown: Shown, texts: Texts) -> list[Any]:
        """The values of `panel`."""
        state = shown.state
        colours = dict(zip((texts["loss_training"], texts["loss_measured"]), COLOURS, strict=True))
        plots = [
            gr.skip()
            if table is None
            else gr.LinePlot(table, x_title=texts["seconds"], y_title=title, color_title=" ", color_map=colours)
            for table, title in ((shown.loss, texts["loss"]), (shown.exact, texts["exact"]))
        ]
        return [
            shown.seen,
            _or_skip(shown.status),
            shown.progress,
            gr.Row(visible=bool(state.steps)),
            *plots,
            _or_skip(shown.measures),
            gr.Column(visible=finished(state)),
            _or_skip(shown.result),
            gr.Button(visible=not state.active),
            gr.Button(visible=state.resumable),
            gr.Button(visible=state.active, interactive=not state.stopping),
            gr.Timer(active=state.active),
        ]

    def look(visitor: Visitor, workspace: Workspace, seen: Seen) -> list[Any]:
        return updates(handlers.show(workspace, seen, visitor.language), TEXTS[visitor.language])

    def pictures(visitor: Visitor, token: Any, request: gr.Request) -> tuple[str, list[Any]]:
        """What is to be said of them, and the values of report, over_row and the outputs of labelling."""
        workspace = handlers.workspace(token, TEXTS[visitor.language])
        found = handlers.report(workspace, TEXTS[visitor.language])
        counts = " ".join(report_counts(found, visitor.language))
        html = report_html(found, visitor.language)
        return counts, [html, gr.Row(visible=bool(workspace.examples())), *labelling.show(token, request)]

    on_pictures = [pictures_status, pictures_alert, report, over_row, *labelling.outputs]
    untouched = [gr.skip()] * (len(on_pictures) - 2)
    left = [pictures_alert, *on_pictures[2:], *panel]

    def change(
        token: Any, request: gr.Request, busy: str, work: Callable[[Visitor, Workspace], str]
    ) -> Iterator[list[Any]]:
        """Say that it is being done, do it, and show the pictures; work: returns what is to be said as an alert."""
        visitor = Visitor.of(request)
        texts = TEXTS[visitor.language]
        yield [texts[busy] if reader.done() else texts["loading"], "", *untouched]
        try:
            said = work(visitor, handlers.workspace(token, texts))
            counts, shown = pictures(visitor, token, request)
            yield [counts, said, *shown]
        except Exception as error:
            yield ["", explained(texts, visitor.language, error), *untouched]

    def on_files(token: Any, values: Any, named: bool, request: gr.Request) -> Iterator[list[Any]]:
        def bring(visitor: Visitor, workspace: Workspace) -> str:
            return handlers.bring(workspace, uploads_of(values), named, visitor.language)

        ready = None  # the field is empty at once, for the next ones, and left alone when these are brought
        for step in change(token, request, "bringing", bring):
            yield [ready, *step]
            ready = gr.skip()

    def on_draw(token: Any, count: Any, styles: Any, request: gr.Request) -> Iterator[list[Any]]:
        def draw(visitor: Visitor, workspace: Workspace) -> str:
            handlers.draw(workspace, count, styles, TEXTS[visitor.language])
            return ""

        yield from change(token, request, "drawing", draw)

    def on_over(token: Any, request: gr.Request) -> list[Any]:
        visitor = Visitor.of(request)
        texts = TEXTS[visitor.language]
        try:
            handlers.remove(handlers.workspace(token, texts), visitor.session)
            workspace = handlers.workspace(token, texts)
            told = [texts["removed"], "", *pictures(visitor, token, request)[1]]
            return [*told, *look(visitor, workspace, Seen()), "", "", "", reader_line(False, visitor)]
        except Exception as error:
            said = explained(texts, visitor.language, error)
            return ["", said, *untouched, *[gr.skip()] * (len(panel) + 4)]

    def on_label(token: Any, request: gr.Request) -> Any:
        visitor = Visitor.of(request)
        try:
            texts = TEXTS[visitor.language]
            return report_html(handlers.report(handlers.workspace(token, texts), texts), visitor.language)
        except Exception as error:
            return explained(TEXTS[visitor.language], visitor.language, error)

    def steer(token: Any, seen: Seen, request: gr.Request, work: Callable[[Workspace, Texts], str | None]) -> list[Any]:
        """Do something to the training, and show how it stands: the values of train_alert (what work says), panel."""
        visitor = Visitor.of(request)
        texts = TEXTS[visitor.language]
        try:
            workspace = handlers.workspace(token, texts)
            try:
                said = work(workspace, texts)
            except BusyError as error:  # begun in another window: show it, and with it how to stop it
                said = explained(texts, visitor.language, error)
            return [said or "", *look(visitor, workspace, seen)]
        except Exception as error:
            return [explained(texts, visitor.language, error), *[gr.skip()] * len(panel)]

    def pressed(work: Callable[..., str | None]) -> Callable[..., Iterator[list[Any]]]:
        """The handler of a button that steers; work takes the workspace, the texts and the fields."""

        def on_press(token: Any, seen: Seen, request: gr.Request, *fields: Any) -> Iterator[list[Any]]:
            yield ["", *[gr.skip()] * len(panel)]  # said again, an alert must change to be announced
            yield steer(token, seen, request, lambda workspace, texts: work(workspace, texts, *fields))

        return on_press

    on_train = pressed(lambda workspace, texts, *fields: handlers.start(workspace, options_of(*fields), texts))
    on_resume = pressed(lambda workspace, texts: handlers.resume(workspace))
    on_stop = pressed(lambda workspace, texts: None if trainings.stop(workspace) else texts["left_queue"])

    def on_tick(token: Any, seen: Seen, request: gr.Request) -> list[Any]:
        return steer(token, seen, request, lambda workspace, texts: None)[1:]

    def on_load(token: Any, request: gr.Request) -> list[Any]:
        """What an earlier visit left. Where there is nothing, nothing changes: the visitor may have begun meanwhile."""
        visitor = Visitor.of(request)
        texts = TEXTS[visitor.language]
        try:
            workspace = handlers.workspace(token, texts)
            if not workspace.examples() and trainings.state(workspace).phase == "idle":
                return [gr.skip()] * len(left)
            return ["", *pictures(visitor, token, request)[1], *look(visitor, workspace, Seen())]
        except Exception as error:
            return [explained(texts, visitor.language, error), *untouched, *[gr.skip()] * len(panel)]

    def take(token: Any, request: gr.Request, work: Callable[[Workspace, Texts], Any]) -> tuple[Any, str]:
        """What it gives, or None and a sentence."""
        visitor = Visitor.of(request)
        texts = TEXTS[visitor.language]
        try:
            return work(handlers.workspace(token, texts), texts), ""
        except Exception as error:
            return None, explained(texts, visitor.language, error)

    def on_download(token: Any, request: gr.Request) -> tuple[Any, str]:
        made, alert = take(token, request, handlers.checkpoint)
        return made, alert

    def on_use(token: Any, request: gr.Request) -> tuple[str, str, str]:
        visitor = Visitor.of(request)
        _, alert = take(token, request, lambda workspace, texts: handlers.use(workspace, visitor.session, texts))
        told = "" if alert else TEXTS[visitor.language]["used"]
        return told, alert, reader_line(readers.has_own(visitor.session), visitor)

    def on_back(request: gr.Request) -> tuple[str, str, str]:
        visitor = Visitor.of(request)
        readers.back(visitor.session)
        return TEXTS[visitor.language]["unused"], "", reader_line(False, visitor)

    def on_push(
        token: Any, repo: str, secret: str, private: bool, request: gr.Request
    ) -> Iterator[tuple[str, str, str]]:
        texts = TEXTS[Visitor.of(request).language]
        yield texts["pushing"], "", ""  # the token leaves the page at once
        url, alert = take(
            token, request, lambda workspace, texts: handlers.push(workspace, repo, secret, private, texts)
        )
        link = f'<a href="{escape(url)}" target="_blank" rel="noopener noreferrer">{escape(url)}</a>' if url else ""
        yield texts["pushed"].format(link) if url else "", alert, ""

    listen = functools.partial(gr.on, show_progress="hidden", trigger_mode="once", api_visibility="private")
    many = functools.partial(listen, concurrency_id="pictures", concurrency_limit=2)
    many(
        files.upload, on_files, [token, files, named], [files, *on_pictures], preprocess=False, trigger_mode="multiple"
    )
    many(draw.click, on_draw, [token, count, styles], on_pictures)
    many(over.click, on_over, token, [*on_pictures, *panel, train_alert, learnt_status, learnt_alert, own_reader])
    many(labelling.saved.change, on_label, token, report, trigger_mode="always_last")
    listen([files.upload, draw.click], lambda: "", None, train_alert)  # what was missing has come
    listen(labelling.saved.change, lambda: ("", ""), None, [train_alert, pictures_status], trigger_mode="multiple")
    steered = [
        listen(train.click, on_train, [token, seen, *options], [train_alert, *panel], concurrency_limit=4),
        listen(resume.click, on_resume, [token, seen], [train_alert, *panel]),
        listen(stop.click, on_stop, [token, seen], [train_alert, *panel]),
    ]
    for one in steered:
        one.then(None, js=STEER_JS)
    listen(timer.tick, on_tick, [token, seen], panel, queue=False)
    taken = [learnt_status, learnt_alert]
    listen(download.click, on_download, token, [packed, learnt_alert]).then(None, packed, js=label.DOWNLOAD_JS)
    listen(use.click, on_use, token, [*taken, own_reader])
    listen(back.click, on_back, None, [*taken, own_reader])
    listen(push.click, on_push, [token, repo, secret, private], [*taken, secret], concurrency_limit=2)
    demo.load(None, token, token, js=TOKEN_JS).then(
        on_load, token, left, show_progress="hidden", api_visibility="private"
    )
    _api(handlers)


def options_of(minutes: float, layers: str, seed: float | None, draw_percent: float | None) -> TrainingOptions:
    """The options that the fields give. Raises ValueError where there is none such; one sentence."""
    if seed and seed < 0:
        raise ValueError(f"The number for chance is {seed:g}; give 0 or more.")
    return TrainingOptions(
        float(minutes), layers if layers in LAYERS else LAYERS[0], int(seed or 0), (draw_percent or 0) / 100
    )


def _or_skip(value: Any) -> Any:
    return gr.skip() if value is None else value


def _plot(figure: str, kinds: str | None) -> gr.LinePlot:
    """A chart over the time. Its figures stand in a table too: it says nothing to a screen reader."""
    return gr.LinePlot(
        x="seconds", y=figure, color=kinds, show_label=False, y_lim=[0, 100 if figure == "exact" else None],
        height=260, buttons=[], min_width=240,
    )  # fmt: skip


def _options(most_minutes: int) -> list[Any]:
    """The fields of `options_of`."""
    fields: list[Any] = [
        gr.Slider(0.5, most_minutes, min(MINUTES, most_minutes), step=0.5, label=I18N("minutes")),
        gr.Radio([(str(I18N(f"layers_{name}")), name) for name in LAYERS], value=LAYERS[0], label=I18N("thorough")),
    ]
    with gr.Accordion(I18N("advanced"), open=False):
        fields += [
            gr.Number(0, precision=0, label=I18N("seed")),
            gr.Slider(0, 90, 60, step=10, label=I18N("draw_share")),
        ]
    return fields


def _api(handlers: TrainHandlers) -> None:
    """The endpoint for programs, /train: the tab's queue and rules, and nothing stays on the server."""
    trainings = handlers.trainings

    def train(pictures: FileData, minutes: float = MINUTES) -> Iterator[dict[str, Any]]:
        """Fine-tune on a zip of labelled pictures.

        Gives how it stands every few seconds, and last before, after, reason and the checkpoint, a zip.
        """
        upload = FileData.model_validate(pictures, context={"validate_meta": True})  # or it might be no upload
        texts, workspace = TEXTS["en"], trainings.workspace(secrets.token_urlsafe())
        try:
            problems = workspace.bring([Upload(Path(upload.path), "pictures.zip")], True, trainings.rules.limits)
            if problems:
                raise ValueError(problems[0])
            handlers.start(workspace, TrainingOptions(float(minutes)), texts)
            while (state := trainings.wait(workspace, API_S)).active:
                yield progress_of(state)
            if not (finished(state) and state.done):
                raise ValueError(state.sentence or texts["interrupted_anew"])
            done = {name: state.done[name] for name in ("before", "after", "reason")}
            yield {**done, "checkpoint": FileData(path=str(handlers.checkpoint(workspace, texts))).model_dump()}
        except ValueError as error:
            raise gr.Error(str(error), print_exception=False) from error
        finally:
            trainings.remove(workspace)

    api(train, api_name="train", concurrency_id="train", concurrency_limit=trainings.rules.queue + 1)


def progress_of(state: State) -> dict[str, Any]:
    """How a training stands, for programs."""
    step = state.steps[-1] if state.steps else {}
    measured = state.evaluated[-1] if state.evaluated else {}
    return {
        "phase": state.phase,
        "place": state.place,
        "share": step.get("share", 0.0),
        "left_s": step.get("left_s"),
        "loss": step.get("loss"),
        "exact": measured.get("exact"),
    }
