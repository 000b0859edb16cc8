"""Small pieces of the page that several tabs are made of."""

from __future__ import annotations

from html import escape

import gradio as gr

from crnn.tabs.texts import I18N


def heading(level: int, name: str) -> None:
    """A heading with the text of this name."""
    gr.HTML(I18N(name), html_template=f"<h{level}>${{value}}</h{level}>")


def paragraph(name: str, elem_id: str | None = None) -> None:
    """A paragraph with the text of this name."""
    gr.HTML(I18N(name), html_template="<p>${value}</p>", elem_id=elem_id)


def live(role: str, place: str = "") -> gr.HTML:
    """A region that screen readers announce when its text changes; the element itself stays, or some would miss it.

    Args:
        role: status, said when there is time for it, or alert, said at once.
        place: what the region is for, where the page has several; a part of its id.
    """
    elem_id = f"{place}-{role}" if place else role
    return gr.HTML(html_template=f'<div role="{role}">${{value}}</div>', elem_id=elem_id)


def in_english(language: str, *sentences: object) -> str:
    """HTML of sentences of the lower layers, which know no other language; a screen reader should pronounce them so."""
    joined = "<br>".join(escape(str(sentence)) for sentence in sentences)
    return joined if language == "en" else f'<span lang="en">{joined}</span>'
