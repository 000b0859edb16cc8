"""Draws labelled pictures with public CAPTCHA libraries, to measure on what the project's own generator does not draw.

    pip install captcha wheezy.captcha multicolorcaptcha
    python tests/libraries.py FOLDER --pictures 100
    python -m crnn evaluate FOLDER/*/

Nothing is ever trained on them. They are drawn anew each time: the libraries take no seed.
"""

from __future__ import annotations

import argparse
import csv
import random
from collections.abc import Callable
from functools import partial
from pathlib import Path

from PIL import Image

from crnn.charset import NAMED
from crnn.fonts import find_fonts

Picture = tuple[Image.Image, str]  # and its text
Draw = Callable[[], Picture]


def lepture(charset: str, length: int, **size: int) -> Draw:
    """The library `captcha`, in its own font."""
    from captcha.image import ImageCaptcha

    library = ImageCaptcha(**size)

    def draw() -> Picture:
        text = "".join(random.choices(NAMED[charset], k=length))
        return library.generate_image(text), text

    return draw


def multicolor() -> Draw:
    """`multicolorcaptcha`: digits of many colours, apart, between black bars."""
    from multicolorcaptcha import CaptchaGenerator

    library = CaptchaGenerator(2)

    def draw() -> Picture:
        drawn = library.gen_captcha_image(difficult_level=1)
        return drawn.image, drawn.characters

    return draw


def wheezy() -> Draw:
    """`wheezy.captcha` with all its effects."""
    from wheezy.captcha.image import background, captcha, curve, noise, offset, rotate, smooth, text, warp

    letters = text(fonts=[font.path for font in find_fonts()], drawings=[warp(), rotate(), offset()])
    library = captcha(drawings=[background(), letters, curve(), noise(), smooth()])

    def draw() -> Picture:
        text = "".join(random.choices(NAMED["upper"], k=4))
        return library(text), text

    return draw


LIBRARIES: dict[str, Callable[[], Draw]] = {
    "captcha_digits": partial(lepture, "digits", 6),
    "captcha_letters": partial(lepture, "letters", 4),
    "captcha_lower": partial(lepture, "lower", 5),
    "captcha_upper_wide": partial(lepture, "upper", 6, width=240, height=80),
    "multicolor": multicolor,
    "wheezy": wheezy,
}


def main() -> None:
    """Write a folder of pictures, with their metadata.csv, for each library."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--pictures", type=int, default=100)
    arguments = parser.parse_args()
    for name, begin in LIBRARIES.items():
        draw, folder = begin(), arguments.folder / name
        folder.mkdir(parents=True)
        with (folder / "metadata.csv").open("w", newline="") as file:
            rows = csv.writer(file)
            rows.writerow(("file_name", "text"))
            for number in range(arguments.pictures):
                picture, text = draw()
                picture.save(folder / f"{number}.png")
                rows.writerow((f"{number}.png", text))


if __name__ == "__main__":
    main()
