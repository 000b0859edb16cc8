"""Reads distorted text: a convolutional recurrent network with attention, trained with CTC.

>>> from crnn import Recognizer                      # doctest: +SKIP
>>> Recognizer.from_pretrained().read("captcha.png").text  # doctest: +SKIP
'w7XkP'
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from crnn.decode import Alternative, Character, Reading
    from crnn.image import PictureError
    from crnn.recognizer import Recognizer

__version__ = "0.1.0"
__all__ = ["Alternative", "Character", "PictureError", "Reading", "Recognizer", "__version__"]

_HOMES = {
    "Alternative": "crnn.decode", "Character": "crnn.decode", "Reading": "crnn.decode",
    "PictureError": "crnn.image", "Recognizer": "crnn.recognizer",
}  # fmt: skip


def __getattr__(name: str) -> Any:
    """Import each name when it is first asked for: the engine takes its time, and `--help` needs none of it."""
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
