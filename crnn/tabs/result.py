"""What a reading looks like and sounds like on the page: HTML, escaped, with all that stands in it as data.

page.js brings it to life by its data attributes: data-character shows that character's map (data-map), data-rival
corrects the character data-number, data-copy copies, data-play plays at that speed, data-download downloads.
"""

from __future__ import annotations

import base64
from html import escape

import cv2

from crnn.decode import Character, Reading
from crnn.image import Picture
from crnn.overlay import colour, ink, overlay
from crnn.speech import LANGUAGES, UNSURE_BELOW, words
from crnn.tabs.texts import CONFIDENCE_WORDS, TEXTS

JPEG_QUALITY = 88  # of the overlays: 20 to 60 kB each
SLOWER = 0.6  # of the speed at which it was said; the browser keeps the pitch


def status_line(reading: Reading, language: str, corrected: bool = False) -> str:
    """What is announced: "Read: capital A, 7, b. Confidence 92 percent. Third character unsure.", for instance."""
    texts = TEXTS[language]
    if not reading.text:
        return texts["status_nothing"]
    sentence = texts["status_corrected" if corrected else "status_read"]
    said = [sentence.format(words(reading.text, language=language), percent(reading.confidence))]
    for number, character in enumerate(reading.characters):
        if character.confidence < UNSURE_BELOW:
            said.append(texts["status_unsure"].format(_position(number, language)))
    return escape(" ".join(said))


def text_html(reading: Reading, language: str) -> str:
    """The text, large, each character a button, and how sure it is."""
    texts = TEXTS[language]
    if not reading.text:
        return note(texts["nothing"])
    buttons = "".join(_button(number, one, language) for number, one in enumerate(reading.characters))
    sure = texts[next(name for least, name in CONFIDENCE_WORDS if reading.confidence >= least)]
    return (
        f'<p class="text" role="group" aria-label="{escape(texts["text"])}" translate="no">{buttons}</p>'
        f'<p class="confidence"><span><strong>{sure}</strong> – {per_cent(reading.confidence, language)}</span>'
        f'<button type="button" class="tool" aria-keyshortcuts="C" data-copy="{escape(reading.text)}" '
        f'data-done="{escape(texts["copied"])}" data-failed="{escape(texts["not_copied"])}">'
        f"{texts['copy']}</button></p>"
        f'<div class="bar" aria-hidden="true"><div style="width: {reading.confidence:.0%}"></div></div>'
    )


def sound_html(wav: bytes, language: str) -> str:
    """A player that starts by itself. The sound travels in the page, so that no file of it stays on the server."""
    texts = TEXTS[language]
    sound = base64.b64encode(wav).decode()
    return (
        f'<audio controls autoplay aria-label="{escape(texts["sound"])}" src="data:audio/wav;base64,{sound}"></audio>'
        '<p class="tools">'
        f'<button type="button" class="tool" aria-keyshortcuts="R" data-play="1">{texts["play"]}</button>'
        f'<button type="button" class="tool" aria-keyshortcuts="S" data-play="{SLOWER}">{texts["slower"]}</button>'
        f'<button type="button" class="tool" data-download="captcha.wav">{texts["download"]}</button></p>'
    )


def details_html(picture: Picture, reading: Reading, language: str) -> str:
    """Where the reader looked, each character with its confidence and its rivals, and the other readings."""
    if not reading.text:
        return ""
    return _attention(picture, reading, language) + _characters(reading, language) + _others(reading, language)


def note(text: str) -> str:
    """A quiet sentence where the result will stand."""
    return f'<p class="waiting">{text}</p>'


def _button(number: int, character: Character, language: str) -> str:
    """One character of the large text; its name tells all that the eye sees."""
    unsure = character.confidence < UNSURE_BELOW
    name = TEXTS[language]["one_unsure" if unsure else "one_character"].format(
        number + 1, words(character.text, language=language), percent(character.confidence)
    )
    return (
        f'<button type="button" class="character{" unsure" if unsure else ""}" id="character-{number}" '
        f'data-character="{number}" aria-pressed="false" aria-label="{escape(name)}">{escape(character.text)}</button>'
    )


def _attention(picture: Picture, reading: Reading, language: str) -> str:
    """The overlay of all characters and that of each one, of which page.js shows one at a time."""
    texts = TEXTS[language]
    names = [words(character.text, language=language) for character in reading.characters]
    listed = ", ".join(f"{number} {name}" for number, name in enumerate(names, 1))
    maps = [_map(picture, reading, None, texts["overlay_alt"].format(listed))]
    for number, name in enumerate(names):
        maps.append(_map(picture, reading, number, texts["overlay_one_alt"].format(number + 1, name)))
    return (
        f'<h3>{texts["attention"]}</h3><div class="attention">{"".join(maps)}'
        f'<button type="button" class="tool" data-character="all" aria-pressed="true">{texts["all"]}</button></div>'
    )


def _map(picture: Picture, reading: Reading, character: int | None, alt: str) -> str:
    """One overlay; that of all characters shows at first."""
    blended = cv2.cvtColor(overlay(picture, reading, character), cv2.COLOR_RGB2BGR)
    jpeg = cv2.imencode(".jpg", blended, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1].tobytes()
    return (
        f'<img data-map="{"all" if character is None else character}"{"" if character is None else " hidden"} '
        f'alt="{escape(alt)}" src="data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}">'
    )


def _characters(reading: Reading, language: str) -> str:
    texts = TEXTS[language]
    rows = "".join(_row(number, character, language) for number, character in enumerate(reading.characters))
    heads = "".join(f'<th scope="col">{texts[head]}</th>' for head in ("character", "sure", "could_be"))
    return f"<h3>{texts['characters']}</h3><table><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table>"


def _row(number: int, character: Character, language: str) -> str:
    rivals = []
    for one in [other for other in character.alternatives if other.text][:3]:
        name = TEXTS[language]["correct"].format(number + 1, words(one.text, language=language))
        rivals.append(
            f'<span class="rival"><button type="button" class="tool" data-rival="{escape(one.text)}" '
            f'data-number="{number}" aria-label="{escape(name)}"><code>{escape(one.text)}</code></button>'
            f"&nbsp;{per_cent(one.confidence, language)}</span>"
        )
    unsure = ' class="unsure"' if character.confidence < UNSURE_BELOW else ""
    return (
        f'<tr><th scope="row">{_chip(number)} <code{unsure} aria-hidden="true">{escape(character.text)}</code> '
        f'<span class="name">{escape(words(character.text, language=language))}</span></th>'
        f"<td>{per_cent(character.confidence, language)}</td><td>{' '.join(rivals) or '–'}</td></tr>"
    )


def _others(reading: Reading, language: str) -> str:
    others = [other for other in reading.alternatives if other.text and other.text != reading.text]
    if not others:
        return ""
    items = "".join(
        f"<li><code>{escape(other.text)}</code>&nbsp;{per_cent(other.confidence, language)}</li>" for other in others
    )
    return f"<h3>{TEXTS[language]['others']}</h3><ol>{items}</ol>"


def _chip(number: int) -> str:
    """A character's number in its colour on the overlay."""
    style = f"background: rgb{colour(number)}; color: rgb{ink(number)}"
    return f'<span class="chip" style="{style}">{number + 1}</span>'


def percent(confidence: float) -> int:
    """As a whole number; only what the user is sure of has 100."""
    return 100 if confidence == 1 else min(round(100 * confidence), 99)


def per_cent(confidence: float, language: str) -> str:
    """A confidence, 0 to 1, as HTML: "92 %"."""
    return TEXTS[language]["per_cent"].format("&lt; 1" if confidence < 0.01 else percent(confidence))


def _position(number: int, language: str) -> str:
    spoken = LANGUAGES[language]
    if number < len(spoken.ordinals):
        return spoken.position.format(spoken.ordinals[number])
    return spoken.position_beyond.format(number + 1)
