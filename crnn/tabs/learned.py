"""What a training looks like on the page: HTML, escaped: of the pictures, of its progress, and of what was learnt."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from crnn.image import Picture, PictureError, open_picture
from crnn.metrics import exact
from crnn.tabs.parts import in_english
from crnn.tabs.result import note
from crnn.tabs.texts import TEXTS, Texts
from crnn.tabs.training_queue import State
from crnn.tabs.workspace import Report, some

SHOWN_PROBLEMS = 50
SHOWN_PICTURES = 12  # of those that can be used, for a look at their labels
SHOWN_EXAMPLES = 8  # of those that are read otherwise than before
SHOWN_MEASURES = 8  # the latest
HIGHEST_PX, WIDEST_PX = 64, 320  # of a picture in a table
LEFT_STEP_S = 10  # time left is said in such steps


# ---------------------------------------------------------------- the pictures


def report_html(report: Report, language: str) -> str:
    """How many pictures can be used, which can't and why, and some with their labels."""
    texts, counts = TEXTS[language], report_counts(report, language)
    if not counts:
        return note(texts["report_none"])
    html = "".join(f"<li>{count}</li>" for count in counts)
    html = f'<ul class="counts">{html}</ul>'
    if report.new_characters:
        listed = " ".join(f"<code>{escape(one)}</code>" for one in report.new_characters)
        html += f"<p>{texts['report_new'].format(listed)}</p>"
    if report.usable:
        figures = "".join(_figure(one.path, one.text) for one in some(report.usable, SHOWN_PICTURES))
        html += f'<h3>{texts["report_look"]}</h3><div class="figures">{figures}</div>'
    if report.problems:
        rows = [
            f'<th scope="row" translate="no">{escape(one.file)}</th><td>{in_english(language, one.sentence)}</td>'
            for one in report.problems[:SHOWN_PROBLEMS]
        ]
        html += f"<h3>{texts['report_why']}</h3>{_table([texts['file'], texts['why']], rows)}"
        if len(report.problems) > SHOWN_PROBLEMS:
            html += f"<p>{texts['report_more'].format(len(report.problems) - SHOWN_PROBLEMS)}</p>"
    return html


def report_counts(report: Report, language: str) -> list[str]:
    """How many pictures can be used, can't, and have no label, a sentence each; none where there are no pictures."""
    texts = TEXTS[language]
    counted = ("usable", len(report.usable)), ("problems", len(report.problems)), ("unlabelled", report.unlabelled)
    if not any(count for _, count in counted):
        return []
    return [texts[f"report_{kind}"].format(count) for kind, count in counted if count or kind == "usable"]


def _figure(path: Path, text: str) -> str:
    return f'<figure>{_image(path)}<figcaption translate="no"><code>{escape(text)}</code></figcaption></figure>'


def _image(path: Path) -> str:
    """A picture, small, within the page itself; nothing where it is gone."""
    try:
        picture = _small(open_picture(path))
    except PictureError:
        return ""
    png = cv2.imencode(".png", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))[1].tobytes()
    return f'<img alt="{escape(path.name)}" src="data:image/png;base64,{base64.b64encode(png).decode()}">'


def _small(picture: Picture) -> Picture:
    """The picture (H, W, 3), scaled down where it is larger than its place."""
    rows, columns = picture.shape[:2]
    scale = min(HIGHEST_PX / rows, WIDEST_PX / columns, 1.0)
    size = max(1, round(columns * scale)), max(1, round(rows * scale))
    return picture if scale == 1 else np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)


# ---------------------------------------------------------------- its progress


def status_line(state: State, language: str) -> str:
    """What is announced: "Training: 1 min 20 s left. Read right: 88 %; before the training: 50 %.", for instance."""
    texts = TEXTS[language]
    if state.phase == "queued":
        return texts["waiting_place"].format(state.place)
    if state.active and state.stopping:
        return texts["ending"]
    if state.phase == "starting":
        return texts["starting"]
    if state.phase == "running":
        return " ".join([texts["learning"].format(duration(_left_s(state), texts)), *_right(state, texts)])
    if state.phase == "done" and state.done:
        return " ".join([texts[f"done_{state.done['reason']}"], *_right(state, texts)])
    if state.phase == "failed":
        return texts["not_trained"].format(in_english(language, state.sentence))
    if state.phase == "interrupted":
        return texts["interrupted" if state.resumable else "interrupted_anew"]
    return ""


def _left_s(state: State) -> float:
    left: float = state.steps[-1]["left_s"]
    return max(LEFT_STEP_S, -(-left // LEFT_STEP_S) * LEFT_STEP_S)


def _right(state: State, texts: Texts) -> list[str]:
    """How many texts of the held-out pictures are right, and how many were; nothing before that is known."""
    now = state.done["after"] if state.done else state.evaluated[-1] if state.evaluated else None
    if not (now and state.before):
        return []
    return [texts["right_now"].format(_per_cent(now["exact"], texts), _per_cent(state.before["exact"], texts))]


def duration(seconds: float, texts: Texts) -> str:
    """Minutes and seconds in words: "1 min 20 s"."""
    minutes, rest = divmod(round(seconds), 60)
    parts = [texts["some_minutes"].format(minutes)] if minutes else []
    return " ".join(parts + ([texts["some_seconds"].format(rest)] if rest or not minutes else []))


def progress_html(state: State, language: str) -> str:
    """A progress bar while it waits or runs; of the time budget, so that it never goes back."""
    texts = TEXTS[language]
    if not state.active:
        return ""
    share = state.steps[-1]["share"] if state.phase == "running" else 0.0
    value = f'aria-valuenow="{share:.0%}"'.replace("%", "") if state.phase == "running" else ""  # none: not known yet
    return (
        f'<div class="bar" role="progressbar" aria-label="{escape(texts["progress"])}" aria-valuemin="0" '
        f'aria-valuemax="100" {value}><div style="width: {share:.1%}"></div></div>'
    )


def measures_html(state: State, language: str) -> str:
    """The latest measurements on the held-out pictures as a table: the charts in figures."""
    texts = TEXTS[language]
    rows = []
    if state.before:
        rows.append(_measure(texts["before"], state.before, texts))
    best = max((i for i, one in enumerate(state.evaluated) if one["best"]), default=-1)
    for i, one in enumerate(state.evaluated):
        when = duration(one["spent_s"], texts) + (f" ({texts['best']})" if i == best else "")
        rows.append(_measure(when, one, texts))
    if not rows:
        return ""
    heads = [texts[name] for name in ("time", "exact_short", "cer", "loss")]
    rows = [*rows[:1], *rows[max(1, len(rows) - SHOWN_MEASURES) :]]
    return f"<h3>{texts['measured']}</h3>{_table(heads, rows)}"


def _measure(when: str, figures: Mapping[str, Any], texts: Texts) -> str:
    loss = f"{figures['loss']:.3f}" if "loss" in figures else "–"
    return (
        f'<th scope="row">{when}</th><td>{_per_cent(figures["exact"], texts)}</td>'
        f"<td>{_per_cent(figures['cer'], texts)}</td><td>{loss}</td>"
    )


# ---------------------------------------------------------------- what was learnt


def result_html(done: Mapping[str, Any], pictures: Path, language: str) -> str:
    """Before and after, on the pictures that it did not train on.

    Args:
        done: the last event of a training (`crnn.finetune`).
        pictures: the folder of the pictures; those in other places are not shown.
        language: of the page.
    """
    texts = TEXTS[language]
    held_out = done["held_out"]
    rows = [
        f'<th scope="row">{texts[name]}</th><td>{_per_cent(done["before"][figure], texts)}</td>'
        f"<td>{_per_cent(done['after'][figure], texts)}</td>"
        for name, figure in (("exact_short", "exact"), ("cer", "cer"))
    ]
    html = f"<p>{texts['held_out'].format(len(held_out))}</p>"
    html += _table(["", texts["before"], texts["after"]], rows)
    was = [exact(one["text"], one["before"]) for one in held_out]
    now = [exact(one["text"], one["after"]) for one in held_out]
    kinds = {"fixed": (False, True), "broken": (True, False), "still_wrong": (False, False)}
    for name, kind in kinds.items():
        of_kind = [one for one, *right in zip(held_out, was, now, strict=True) if tuple(right) == kind]
        html += _examples(name, of_kind, pictures, texts)
    return html + _confusions(done, texts)


def _examples(name: str, examples: Sequence[Mapping[str, Any]], pictures: Path, texts: Texts) -> str:
    if not examples:
        return ""
    heads = [texts[head] for head in ("picture", "true_text", "before", "after")]
    rows = []
    for one in examples[:SHOWN_EXAMPLES]:
        said = "".join(f"<td><code>{escape(one[key]) or '–'}</code></td>" for key in ("text", "before", "after"))
        rows.append(f"<td>{_image(pictures / Path(one['file']).name)}</td>{said}")
    return f"<h3>{texts['shown_of'].format(texts[name], len(examples))}</h3>{_table(heads, rows)}"


def _confusions(done: Mapping[str, Any], texts: Texts) -> str:
    """What was confused before and what is after, side by side."""
    if not (done["confusions_before"] or done["confusions_after"]):
        return ""
    cells = []
    for when in ("before", "after"):
        items = "".join(
            f"<li>{texts['confused'].format(_character(true, texts), _character(got, texts), times)}</li>"
            for true, got, times in done[f"confusions_{when}"]
        )
        cells.append(f"<td>{f'<ul>{items}</ul>' if items else texts['none']}</td>")
    return f"<h3>{texts['confusions']}</h3>{_table([texts['before'], texts['after']], [''.join(cells)])}"


def _character(character: str, texts: Texts) -> str:
    return f'<code translate="no">{escape(character)}</code>' if character else texts["no_character"]


def _table(heads: Sequence[str], rows: Sequence[str]) -> str:
    head = "".join(f'<th scope="col">{name}</th>' if name else "<td></td>" for name in heads)
    body = "".join(f"<tr>{row}</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _per_cent(share: float, texts: Texts) -> str:
    return texts["per_cent"].format(round(100 * share, 1) if 0 < share < 0.1 else round(100 * share))
