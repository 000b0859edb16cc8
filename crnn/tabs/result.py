"""What a reading looks like and sounds like on the page: HTML, escaped, with all that stands in it as data."""

from __future__ import annotations

import base64
from html import escape

import cv2

from crnn.decode import Character, Reading
from crnn.image import Picture
from crnn.overlay import colour, ink, overlay
from crnn.speech import LANGUAGES, UNSURE_BELOW, words
from crnn.tabs import CONFIDENCE_WORDS, TEXT

JPEG_QUALITY = 88  # of the overlays: 20 to 60 kB each


def status_line(reading: Reading) -> str:
    """What is announced: "Read: capital A, 7, b. Confidence 92 percent. Third character unsure.", for instance."""
    if not reading.text:
        return TEXT["status_nothing"]
    said = [TEXT["status_read"].format(words(reading.text), round(100 * reading.confidence))]
    for number, character in enumerate(reading.characters):
        if character.confidence < UNSURE_BELOW:
            said.append(TEXT["status_unsure"].format(_position(number)))
    return escape(" ".join(said))


def text_html(reading: Reading) -> str:
    """The text, large, and how sure it is."""
    if not reading.text:
        return note(TEXT["nothing"])
    text = "".join(
        f'<span class="unsure">{escape(one.text)}</span>' if one.confidence < UNSURE_BELOW else escape(one.text)
        for one in reading.characters
    )
    sure = next(said for least, said in CONFIDENCE_WORDS if reading.confidence >= least)
    return (
        f'<p class="text" translate="no">{text}</p>'
        f'<p class="confidence"><strong>{sure}</strong> – {_per_cent(reading.confidence)}</p>'
        f'<div class="bar" aria-hidden="true"><div style="width: {reading.confidence:.0%}"></div></div>'
    )


def details_html(picture: Picture, reading: Reading) -> str:
    """Where the reader looked, each character with its confidence and its rivals, and the other readings."""
    if not reading.text:
        return ""
    return _attention(picture, reading) + _characters(reading) + _others(reading)


def sound_html(wav: bytes) -> str:
    """A player that starts by itself. The sound travels in the page, so that no file of it stays on the server."""
    sound = base64.b64encode(wav).decode()
    return f'<audio controls autoplay aria-label="{TEXT["sound"]}" src="data:audio/wav;base64,{sound}"></audio>'


def _attention(picture: Picture, reading: Reading) -> str:
    """The overlay of all characters and that of each one; radio buttons choose, and CSS alone shows the chosen one."""
    names = [words(character.text) for character in reading.characters]
    listed = ", ".join(f"{number} {name}" for number, name in enumerate(names, 1))
    choices = [_map(picture, reading, None, TEXT["attention_all"], TEXT["overlay_alt"].format(listed))]
    for number, (character, name) in enumerate(zip(reading.characters, names, strict=True)):
        label = f"{_chip(number)} <code>{escape(character.text)}</code>"
        alt = TEXT["overlay_one_alt"].format(number + 1, name)
        choices.append(_map(picture, reading, number, label, alt))
    return (
        f"<h3>{TEXT['attention']}</h3>"
        f'<div class="attention" role="radiogroup" aria-label="{TEXT["attention_group"]}">{"".join(choices)}</div>'
    )


def _map(picture: Picture, reading: Reading, character: int | None, label: str, alt: str) -> str:
    """One choice: its radio button, its label and its overlay."""
    choice = "all" if character is None else str(character)
    blended = cv2.cvtColor(overlay(picture, reading, character), cv2.COLOR_RGB2BGR)
    jpeg = cv2.imencode(".jpg", blended, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1].tobytes()
    return (
        f'<input type="radio" name="attention" id="attention-{choice}"{" checked" if character is None else ""}>'
        f'<label for="attention-{choice}">{label}</label>'
        f'<img alt="{escape(alt)}" src="data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}">'
    )


def _characters(reading: Reading) -> str:
    rows = "".join(_row(number, character) for number, character in enumerate(reading.characters))
    heads = "".join(f'<th scope="col">{TEXT[head]}</th>' for head in ("character", "sure", "could_be"))
    return f"<h3>{TEXT['characters']}</h3><table><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table>"


def _row(number: int, character: Character) -> str:
    rivals = [f"<code>{escape(one.text)}</code>&nbsp;{_per_cent(one.confidence)}" for one in character.alternatives[:3]]
    unsure = ' class="unsure"' if character.confidence < UNSURE_BELOW else ""
    return (
        f'<tr><th scope="row">{_chip(number)} <code{unsure}>{escape(character.text)}</code> '
        f'<span class="name">{escape(words(character.text))}</span></th>'
        f"<td>{_per_cent(character.confidence)}</td><td>{', '.join(rivals) or '–'}</td></tr>"
    )


def _others(reading: Reading) -> str:
    others = [other for other in reading.alternatives if other.text and other.text != reading.text]
    if not others:
        return ""
    items = "".join(
        f"<li><code>{escape(other.text)}</code>&nbsp;{_per_cent(other.confidence)}</li>" for other in others
    )
    return f"<h3>{TEXT['others']}</h3><ol>{items}</ol>"


def _chip(number: int) -> str:
    """A character's number in its colour on the overlay."""
    style = f"background: rgb{colour(number)}; color: rgb{ink(number)}"
    return f'<span class="chip" style="{style}">{number + 1}</span>'


def _per_cent(confidence: float) -> str:
    percent = 100 * confidence
    return TEXT["per_cent"].format("< 1" if percent < 1 else round(percent)).replace("<", "&lt;")


def _position(number: int) -> str:
    english = LANGUAGES["en"]
    if number < len(english.ordinals):
        return english.position.format(english.ordinals[number])
    return english.position_beyond.format(number + 1)


def note(text: str) -> str:
    """A quiet sentence where the result will stand."""
    return f'<p class="waiting">{text}</p>'
