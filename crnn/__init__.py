"""Reads distorted text: a convolutional recurrent network with attention, trained with CTC.

>>> from crnn import Recognizer                      # doctest: +SKIP
>>> Recognizer.from_pretrained().read("captcha.png").text  # doctest: +SKIP
'w7XkP'
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from crnn.recognizer import Recognizer

__version__ = "0.1.0"
__all__ = ["Recognizer", "__version__"]


def __getattr__(name: str) -> Any:
    """Import the recognizer when it is first asked for: torch takes seconds, and `--help` needs none of it."""
    if name == "Recognizer":
        from crnn.recognizer import Recognizer

        return Recognizer
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
