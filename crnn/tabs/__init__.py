"""The tabs of the page, one file each, and every text that the page shows."""

from __future__ import annotations

TEXT = {
    "title": "Captcha reader",
    "lede": "Bring a picture of distorted text. It is read, shown and spoken.",
    "skip": "Skip to the result",
    "privacy": (
        "Private: your picture and its sound serve this read only. "
        "They are deleted within five minutes, and go to no one but you."
    ),
    # bringing a picture
    "picture": "Picture",
    "picture_alt": "The picture you brought",
    "examples": "Or try an example",
    "example": "Example: {}",
    "options": "Options",
    "style": "How to say it",
    "charset": "Characters to expect",
    "shortest": "Fewest characters (0: any number)",
    "longest": "Most characters (0: any number)",
    "ignore_case": "Capitals do not matter",
    "again": "Read again",
    # the result
    "result": "Result",
    "waiting": "The text will stand here, and you will hear it.",
    "reading": "Reading …",
    "loading": "The reader is still starting. Your picture is next.",
    "nothing": "No text found",
    "sound": "The text, spoken",
    "attention": "Where it looked",
    "attention_all": "All",
    "attention_group": "Show where it looked for",
    "overlay_alt": "The picture, enlarged. A numbered box and a colour mark where it looked for each character: {}.",
    "overlay_one_alt": "The picture, enlarged. A box and a colour mark where it looked for character {}, {}.",
    "characters": "Each character",
    "character": "Character",
    "sure": "Sure",
    "could_be": "Could also be",
    "others": "Other readings",
    "per_cent": "{}\u00a0%",
    # the live regions
    "status_read": "Read: {}. Confidence {} percent.",
    "status_nothing": "No text was found in this picture.",
    "status_unsure": "{} unsure.",
    "no_picture": "There is no picture yet: upload one, take one with the camera, or paste one.",
    "picture_gone": "This picture has already been deleted from the server: bring it again.",
    "length_order": "No text has at least {} but at most {} characters: make the second number the larger one.",
    "no_reader": "The reader could not be started: {}",
    "no_voice": "The text is shown but can't be spoken. {}",
    "failed": "This picture could not be read because of a fault on the server: try it again, or try another picture.",
}

STYLES = {"spell": "Spelled: capital A, 7", "phonetic": "Phonetic: capital Alpha, seven", "plain": "As a word"}

CHARSETS = {
    "": "Any",
    "digits": "Digits",
    "letters": "Letters",
    "lower": "Small letters",
    "upper": "Capital letters",
    "alphanumeric": "Letters and digits",
}

# The least confidence for each of the words that stand beside the per cent.
CONFIDENCE_WORDS = ((0.95, "Very sure"), (0.8, "Quite sure"), (0.5, "Not sure"), (0.0, "A guess"))
