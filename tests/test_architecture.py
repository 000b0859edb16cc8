"""The house: what each module may import, read from the source. A lower layer never knows an upper one."""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

MAY_IMPORT = {
    "charset": (),
    "config": ("charset",),
    "image": (),
    "locate": ("image",),
    "model": ("charset", "config"),
    "engine": (),
    "decode": ("charset",),
    "hub": (),
    "recognizer": ("charset", "decode", "engine", "hub", "image", "locate", "model"),
    "overlay": ("decode", "image"),
    "speech": ("decode",),
    "intake": ("charset", "image"),
    "fonts": ("charset",),
    "effects": (),
    "styles": ("charset",),
    "synth": ("charset", "effects", "fonts", "styles"),
    "augment": ("effects",),
    "splice": ("charset", "decode", "image", "model"),
    "data": ("augment", "charset", "fonts", "image", "intake", "model", "splice", "styles", "synth"),
    "likeness": ("data", "image", "model", "styles", "synth"),
    "metrics": ("decode",),
    "evaluate": ("charset", "decode", "intake", "metrics", "recognizer", "styles", "synth"),
    "sheet": ("metrics", "recognizer", "styles", "synth"),
    "train": ("charset", "config", "data", "decode", "evaluate", "fonts", "hub", "model", "recognizer"),
    "validation": ("data", "decode", "image", "intake", "metrics", "model", "recognizer", "train"),
    "finetune": (
        "charset", "config", "data", "decode", "fonts", "intake", "likeness", "metrics", "model", "splice",
        "train", "validation",
    ),
    "bench": (
        "charset", "config", "data", "fonts", "image", "model", "overlay", "recognizer", "styles", "synth", "train",
    ),
    "export": ("config", "hub", "model"),
    "cli": (
        "bench", "charset", "decode", "evaluate", "export", "finetune", "metrics",
        "recognizer", "sheet", "speech", "styles", "synth", "train",
    ),
    "tabs": (
        "charset", "decode", "hub", "image", "intake", "metrics", "overlay", "recognizer", "speech", "styles", "tabs",
    ),
    "__init__": ("decode", "image", "recognizer"),
    "__main__": ("cli",),
}  # fmt: skip
TENSOR_LIBRARIES = {"torch", "transformers", "numpy", "cv2", "safetensors", "openvino"}


def imports(file: Path) -> set[str]:
    """Every module that a file imports, inside functions too; `from crnn import x` counts as crnn.x."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file.name} imports relatively; name the module in full"
            found |= {f"crnn.{name.name}" for name in node.names} if node.module == "crnn" else {node.module or ""}
    return found


def layer(file: Path) -> str:
    """The row of the table that a file of the package belongs to."""
    return file.relative_to(ROOT / "crnn").parts[0].removesuffix(".py")


FILES = sorted((ROOT / "crnn").rglob("*.py"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_a_module_imports_only_what_its_layer_may(file: Path) -> None:
    assert layer(file) in MAY_IMPORT, "a new module: give it a row, as low as it can stand"
    own = {name.split(".")[1] for name in imports(file) if name.startswith("crnn.")} - {"__version__"}
    assert own <= set(MAY_IMPORT[layer(file)])


def test_nothing_may_be_imported_in_vain() -> None:
    used: dict[str, set[str]] = {name: set() for name in MAY_IMPORT}
    for file in FILES:
        used[layer(file)] |= {name.split(".")[1] for name in imports(file) if name.startswith("crnn.")}
    assert {name: sorted(set(may) - used[name]) for name, may in MAY_IMPORT.items() if set(may) - used[name]} == {}


def test_contributors_are_told_of_each_file_below_those_that_it_imports() -> None:
    rows = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").splitlines()
    rows = [row.split(" | ")[0] for row in rows if row.startswith("| `")]
    place = {name: number for number, row in enumerate(rows) for name in re.findall(r"`crnn/(\w+)(?:\.py|/)`", row)}
    assert set(place) == {name for name in MAY_IMPORT if not name.startswith("__")}
    for name, may in MAY_IMPORT.items():
        assert name.startswith("__") or all(place[lower] <= place[name] for lower in may), name


def test_the_table_has_no_circle() -> None:
    order: list[str] = []
    while waiting := [name for name in MAY_IMPORT if name not in order]:
        free = [name for name in waiting if set(MAY_IMPORT[name]) - {name} <= set(order)]
        assert free, f"these import each other: {waiting}"
        order += free


def test_what_is_installed_is_whole() -> None:
    """A wheel holds every package, and every file of the page and of the weights."""
    told = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]
    places = {name: ROOT / told["package-dir"].get(name, name.replace(".", "/")) for name in told["packages"]}
    assert {file.parent for file in FILES} <= set(places.values())
    for name, place in places.items():
        files = {file for file in place.iterdir() if file.is_file() and file.suffix not in (".py", ".pyc")}
        assert files == {file for pattern in told["package-data"].get(name, ()) for file in place.glob(pattern)}


def test_app_only_puts_tabs_together() -> None:
    found = imports(ROOT / "app.py")
    own = {".".join(name.split(".")[:2]) for name in found if name.startswith("crnn")}
    assert own <= {"crnn.tabs", "crnn.recognizer"}
    assert not {name.split(".")[0] for name in found} & TENSOR_LIBRARIES


def test_pictures_are_opened_and_decoded_without_torch() -> None:
    for name in ("charset", "image", "locate", "decode", "overlay", "speech", "fonts", "effects", "styles", "synth"):
        assert not {module.split(".")[0] for module in imports(ROOT / "crnn" / f"{name}.py")} & {
            "torch",
            "transformers",
        }
