"""Labelling: which picture comes next, what is saved and when, and what is shown and announced."""

from __future__ import annotations

import threading
import time
import zipfile
from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from html import unescape
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from crnn.decode import Alternative, Character, Reading
from crnn.image import PictureError
from crnn.tabs import label, label_queue
from crnn.tabs.label import LabelHandlers, Shown, checked
from crnn.tabs.label_queue import Gone, LabelQueue, Lost, View
from crnn.tabs.read import PageError, Visitor
from crnn.tabs.texts import TEXTS

TEXT = TEXTS["en"]
ENGLISH, GERMAN = Visitor("tab", "en"), Visitor("tab", "de")
# What the reader sees in each picture; those named "bad…" are none.
GUESSES = {"a": ("aaa", 0.9), "b": ("b7X", 0.62), "c": ("ccc", 0.99), "d": ("", 0.97), "e": ("eee", 0.96)}


def reading(text: str, confidence: float) -> Reading:
    """The last character is as unsure as the whole, and could be a Z."""
    focus = np.full((6, 40), 1 / 240, np.float32)
    characters = [Character(one, 0.99, (i, i + 1), focus=focus) for i, one in enumerate(text[:-1])]
    if text:
        rival = (Alternative("Z", 1 - confidence),)
        characters.append(Character(text[-1], confidence, (9, 10), rival, focus=focus))
    return Reading(text, confidence, tuple(characters))


class Reader:
    """Answers by the files' names, and keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[list[str]] = []

    def read_many(self, pictures: Iterable[Path], **options: Any) -> Iterator[Reading | PictureError]:
        pictures = list(pictures)
        self.asked.append([path.name for path in pictures])
        for path in pictures:
            bad = path.name.startswith("bad") or not path.is_file()
            yield PictureError("No picture.") if bad else reading(*GUESSES.get(path.stem, ("zzz", 0.9)))


def ready(reader: Any) -> Future[Any]:
    future: Future[Any] = Future()
    future.set_result(reader)
    return future


def fill(folder: Path, names: Iterable[str]) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (100, 40), "white").save(folder / name)
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Pictures a to e, without labels."""
    return fill(tmp_path / "pictures", [f"{name}.png" for name in GUESSES])


def opened(folder: Path) -> LabelQueue:
    found = LabelQueue(folder)
    found.refresh()
    return found


def name(view: View) -> str | None:
    return view.current and view.current.path.stem


def table(folder: Path) -> list[str]:
    return sorted((folder / "metadata.csv").read_text(encoding="utf-8").split()[1:])


# ---------------------------------------------------------------- the queue


def test_the_least_certain_comes_first_and_where_nothing_was_found_before_all(folder: Path) -> None:
    found, view, order = opened(folder), View(), []
    while not found.advance(view, Reader()) and view.current:  # type: ignore[arg-type]
        order.append(name(view))
        found.label(view, "x")
    assert order == ["d", "b", "a", "e", "c"]  # 0 (no text), 0.62, 0.9, 0.96, 0.99


def test_the_first_shows_before_all_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(label_queue, "AT_ONCE", 4)
    fill(tmp_path, [f"{number:02}.png" for number in range(9)])
    found, view, reader = opened(tmp_path), View(), Reader()
    found.advance(view, reader)  # type: ignore[arg-type]
    assert name(view) == "00" and [len(asked) for asked in reader.asked] == [4] and len(found.unread()) == 5
    assert found.read_some(reader) and not found.read_some(reader)  # type: ignore[arg-type]
    assert [len(asked) for asked in reader.asked] == [4, 4, 1]


def test_pictures_that_cannot_be_opened_are_left_out_and_counted(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(label_queue, "AT_ONCE", 1)
    fill(folder, ["bad1.png", "bad2.png"])
    (folder / "a.png").rename(folder / "bad0.png")
    found, view = opened(folder), View()
    for _ in range(4):
        found.advance(view, Reader())  # type: ignore[arg-type]
        found.label(view, "x")
    found.advance(view, Reader())  # type: ignore[arg-type]
    assert view.current is None and found.left_out == 3 and found.labelled == 4


def test_each_label_is_on_the_disk_at_once_and_those_from_before_stay(folder: Path) -> None:
    (folder / "metadata.csv").write_text('file_name,text\nc.png,old\ne.png," "\n', encoding="utf-8")
    found, view = opened(folder), View()
    found.advance(view, Reader())  # type: ignore[arg-type]
    found.label(view, "  dé\n".replace("é", "e\u0301"))
    assert table(folder) == ["c.png,old", "d.png,d\u00e9"]
    found.advance(view, Reader())  # type: ignore[arg-type]
    found.label(view, "B7x")
    assert table(folder) == ["b.png,B7x", "c.png,old", "d.png,dé"]
    assert not list(folder.glob("*.new"))


def test_labels_that_others_wrote_meanwhile_are_kept(folder: Path) -> None:
    found, view = opened(folder), View()
    found.advance(view, Reader())  # type: ignore[arg-type]
    fill(folder, ["more/f.png"])
    (folder / "metadata.csv").write_text("file_name,text\nmore/f.png,F\n", encoding="utf-8")
    found.label(view, "D")
    assert table(folder) == ["d.png,D", "more/f.png,F"]


def test_a_table_further_down_does_not_outdo_the_labels(folder: Path) -> None:
    fill(folder, ["train/f.png", "train/g.png"])
    (folder / "train" / "metadata.csv").write_text("file_name,text\nf.png,F\ng.png,\n", encoding="utf-8")
    found, view = opened(folder), View()
    while not found.advance(view, Reader()) and view.current:  # type: ignore[arg-type]
        found.label(view, name(view) or "")
    assert opened(folder).labelled == 7 and opened(folder).unread() == []
    assert table(folder) == ["a.png,a", "b.png,b", "c.png,c", "d.png,d", "e.png,e", "train/f.png,F", "train/g.png,g"]


def test_names_are_no_labels_here(folder: Path) -> None:
    assert opened(folder).labelled == 0 and len(opened(folder).unread()) == 5


def test_skipped_ones_come_again_when_the_others_are_labelled(folder: Path) -> None:
    found, view, reader = opened(folder), View(), Reader()
    found.advance(view, reader)  # type: ignore[arg-type]
    assert found.place(view) == (1, 5)
    found.skip(view)
    found.advance(view, reader)  # type: ignore[arg-type]
    assert (name(view), found.place(view)) == ("b", (2, 5))
    for _ in range(3):
        found.label(view, "x")
        assert not found.advance(view, reader)  # type: ignore[arg-type]
    assert (name(view), found.place(view)) == ("c", (5, 5))
    found.label(view, "x")
    assert found.advance(view, reader)  # type: ignore[arg-type]
    assert (name(view), found.place(view)) == ("d", (5, 5))
    assert len(reader.asked) == 1


def test_back_goes_through_what_was_labelled_and_a_correction_is_saved(folder: Path) -> None:
    found, view, reader = opened(folder), View(), Reader()
    for text in ("1", "2", "3"):  # d, b, a
        found.advance(view, reader)  # type: ignore[arg-type]
        found.label(view, text)
    found.advance(view, reader)  # type: ignore[arg-type]
    assert name(view) == "e"
    for expected in ("a", "b"):
        view.current = found.before(view)
        assert name(view) == expected
    found.label(view, "two")
    found.advance(view, reader)  # type: ignore[arg-type]
    assert name(view) == "e" and table(folder) == ["a.png,3", "b.png,two", "d.png,1"]
    view.current = found.before(view)
    assert name(view) == "b"  # the last labelled
    found.skip(view)
    found.advance(view, reader)  # type: ignore[arg-type]
    assert name(view) == "e" and found.place(view) == (4, 5)


def test_before_the_first_there_is_none(folder: Path) -> None:
    found, view = opened(folder), View()
    found.advance(view, Reader())  # type: ignore[arg-type]
    assert found.before(view) is None
    found.label(view, "x")
    assert (found.before(view) or view.current) == view.current  # shown still, it is not before itself


def test_only_what_is_surely_read_and_not_skipped_is_accepted_unseen(folder: Path) -> None:
    found, view, reader = opened(folder), View(), Reader()
    found.advance(view, reader)  # type: ignore[arg-type]
    assert [file.path.stem for file in found.sure(view)] == ["c", "e"]  # 0.99, 0.96; d is empty
    view.skipped = {file for file in found.sure(view) if file.path.stem == "c"}
    assert found.accept_sure(view) == 1 and table(folder) == ["e.png,eee"]
    assert found.accept_sure(view) == 0
    view.current = found.before(view)
    assert name(view) == "e"


def test_a_picture_that_another_took_the_place_of_gets_no_label(folder: Path) -> None:
    found, view = opened(folder), View()
    found.advance(view, Reader())  # type: ignore[arg-type]
    (folder / "d.png").unlink()
    with pytest.raises(Lost):
        found.label(view, "x")
    Image.new("RGB", (90, 40)).save(folder / "d.png")
    with pytest.raises(Lost):
        found.label(view, "x")
    assert not (folder / "metadata.csv").exists()
    found.refresh()
    assert [file.path.stem for file in found.unread()] == ["d"]  # it is read anew


def test_a_folder_that_was_removed_is_gone(folder: Path) -> None:
    found, view = opened(folder), View()
    found.advance(view, Reader())  # type: ignore[arg-type]
    for path in folder.iterdir():
        path.unlink()
    with pytest.raises(Gone):
        found.refresh()
    folder.rmdir()
    with pytest.raises(Gone):
        found.refresh()
    with pytest.raises(Lost):
        found.label(view, "x")


def test_the_dataset_holds_the_labelled_pictures_and_their_table(folder: Path, tmp_path: Path) -> None:
    fill(folder, ["more/f.png"])
    (folder / "metadata.csv").write_text('file_name,text\nmore/f.png,"a,b"\na.png,A\ngone.png,x\n', encoding="utf-8")
    opened(folder).archive(tmp_path / "dataset.zip")
    with zipfile.ZipFile(tmp_path / "dataset.zip") as archive:
        assert sorted(archive.namelist()) == ["a.png", "metadata.csv", "more/f.png"]
        assert archive.read("metadata.csv").decode().split() == ["file_name,text", 'more/f.png,"a,b"', "a.png,A"]
        assert archive.read("a.png") == (folder / "a.png").read_bytes()


def test_the_dataset_lies_where_gradio_deletes_it(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "cache"))  # not there before the first upload
    labels = LabelHandlers(ready(Reader()))
    labels.show(folder, ENGLISH)
    assert labels.archive(folder, ENGLISH) == TEXT["label_nothing"]
    accept(labels, folder, "D")
    made = labels.archive(folder, ENGLISH)
    assert made.name == "dataset.zip" and made.parent.parent == tmp_path / "cache"


# ---------------------------------------------------------------- what the page shows


def accept(labels: LabelHandlers, folder: Path, text: str) -> Any:
    """Accept a text for what the first page shows."""
    current = labels._of(folder, ENGLISH)[1].current
    return labels.accept(folder, ENGLISH, text, label._name(current) if current else "")


def test_a_text_is_saved_for_the_picture_that_it_was_typed_to_alone(folder: Path) -> None:
    labels = LabelHandlers(ready(Reader()))
    first = labels.show(folder, ENGLISH)
    second = labels.skip(folder, ENGLISH)  # still on its way to the page, where Enter is pressed
    shown = labels.accept(folder, ENGLISH, "ddd", first.which)
    assert shown.alert == TEXT["label_moved"] and shown._replace(alert="") == second
    assert not (folder / "metadata.csv").exists()
    assert not labels.accept(folder, ENGLISH, "b7x", shown.which).alert
    assert table(folder) == ["b.png,b7x"]


def test_a_picture_is_shown_with_its_guess_and_announced(folder: Path) -> None:
    labels = LabelHandlers(ready(Reader()))
    labels.show(folder, ENGLISH)
    shown = labels.skip(folder, ENGLISH)
    assert shown.status == (
        "2 of 5. The reader guesses: b, 7, capital X. Third character: capital X, or capital Z. 62 percent sure."
    )
    assert shown.text == "b7X" and shown.asked and not shown.alert
    assert 'alt="The picture to label, enlarged" width="400"' in shown.card  # 100 px wide and 40 high: 4 times
    assert '<code>b7<span class="unsure">X</span></code> 62\u00a0%' in shown.card
    assert "<li>3: <code>X</code>&nbsp;62\u00a0%, <code>Z</code>&nbsp;38\u00a0%</li>" in shown.card
    assert "b.png" not in shown.card  # a name may tell the text
    assert shown.note == "<p>Surely read so far, above 95 percent: 2.</p>" and shown.surely
    assert not shown.back and not shown.labelled


def test_a_picture_without_a_guess_comes_with_an_empty_field(folder: Path) -> None:
    shown = LabelHandlers(ready(Reader())).show(folder, GERMAN)
    assert shown.status == "1 von 5. Der Leser fand keinen Text." and shown.text == ""


def test_from_the_first_to_the_last(folder: Path) -> None:
    labels = LabelHandlers(ready(Reader()))
    assert labels.show(folder, ENGLISH).status.startswith("1 of 5. ")
    assert accept(labels, folder, "ddd").status.startswith("2 of 5. The reader guesses: b, 7, capital X")
    shown = labels.back(folder, ENGLISH)
    assert shown.status == "Already labelled: d, d, d. Correct it, or accept it as it is." and shown.text == "ddd"
    assert labels.back(folder, ENGLISH) == TEXT["label_first"]
    shown = accept(labels, folder, "DdD")
    assert shown.status.startswith("2 of 5. ") and shown.back and shown.labelled
    shown = labels.accept_sure(folder, ENGLISH)
    assert shown.status.startswith("Labelled as read: 2. 4 of 5. The reader guesses: b") and not shown.surely
    labels.skip(folder, ENGLISH)
    shown = labels.skip(folder, ENGLISH)
    assert shown.status.startswith("Only skipped pictures are left. 4 of 5. The reader guesses: b")
    accept(labels, folder, "b7x")
    shown = accept(labels, folder, "aaa")
    assert shown.status == "All is labelled. Pictures with a label: 5."
    assert not shown.asked and shown.back and shown.labelled and shown.text == "" and "<img" not in shown.card
    assert table(folder) == ["a.png,aaa", "b.png,b7x", "c.png,ccc", "d.png,DdD", "e.png,eee"]
    assert labels.show(folder, ENGLISH).status == shown.status  # still there after the report was refreshed
    assert labels.show(folder, Visitor("another page", "en")) is None


def test_it_is_hidden_where_there_is_nothing_to_label(tmp_path: Path) -> None:
    labels = LabelHandlers(ready(Reader()))
    assert labels.show(tmp_path / "none", ENGLISH) is None
    assert labels.show(fill(tmp_path, ["bad.png"]), ENGLISH) is None


def test_a_picture_that_is_shown_stays_when_others_are_added(folder: Path) -> None:
    labels = LabelHandlers(ready(Reader()))
    labels.show(folder, ENGLISH)
    labels.skip(folder, ENGLISH)
    fill(folder, ["f.png"])
    shown = labels.show(folder, ENGLISH)
    assert shown.status.startswith("2 of 6. The reader guesses: b") and shown.text is None  # what was typed stays


@pytest.mark.parametrize(
    ("typed", "sentence"),
    [
        ("", TEXT["label_empty"]),
        (" \t", TEXT["label_empty"]),
        ("a\u200bb", TEXT["label_unprintable"]),
        ("x" * 101, TEXT["label_long"].format(101, 100)),
    ],
)
def test_what_is_no_label_is_refused_in_one_sentence(folder: Path, typed: str, sentence: str) -> None:
    labels = LabelHandlers(ready(Reader()))
    labels.show(folder, ENGLISH)
    assert unescape(accept(labels, folder, typed)) == sentence
    assert not (folder / "metadata.csv").exists()
    with pytest.raises(PageError):
        checked(typed, TEXT)


def test_a_label_stands_to_the_letter() -> None:
    assert checked(" aB c ", TEXT) == "aB c"
    assert checked("e\u0301", TEXT) == "\u00e9"


def test_pictures_that_are_gone_get_a_sentence_and_the_rest_goes_on(folder: Path) -> None:
    labels = LabelHandlers(ready(Reader()))
    labels.show(folder, ENGLISH)
    (folder / "d.png").unlink()
    shown = accept(labels, folder, "ddd")
    assert shown.alert == TEXT["label_lost"] and shown.status.startswith("1 of 4. The reader guesses: b")
    (folder / "a.png").unlink()
    assert accept(labels, folder, "b").status.startswith("2 of 3. The reader guesses: e")
    for path in folder.iterdir():
        path.unlink()
    assert accept(labels, folder, "eee") == TEXT["label_gone"]
    assert labels.skip(folder, ENGLISH) == TEXT["label_gone"]
    assert labels.archive(folder, ENGLISH) == TEXT["label_gone"]
    assert labels.show(folder, ENGLISH) is None


def test_a_label_for_a_page_that_was_forgotten_is_not_given_to_another_picture(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(label, "KEEP_SECONDS", 0.2)
    labels = LabelHandlers(ready(Reader()))
    labels.show(folder, ENGLISH)
    time.sleep(0.6)
    shown = accept(labels, folder, "ddd")
    assert shown.alert == TEXT["label_lost"] and shown.status.startswith("1 of 5. ")
    assert not (folder / "metadata.csv").exists()
    time.sleep(0.6)
    assert labels.skip(folder, ENGLISH).status.startswith("1 of 5. ")


def test_visitors_are_apart_and_the_pages_of_one_share_the_labels(folder: Path, tmp_path: Path) -> None:
    labels, other = LabelHandlers(ready(Reader())), fill(tmp_path / "other", ["a.png", "b.png"])
    second = Visitor("second page", "en")
    for visitor in (ENGLISH, second):
        labels.show(folder, visitor)
    labels.show(other, ENGLISH)
    accept(labels, folder, "ddd")
    assert not (other / "metadata.csv").exists()
    assert labels.back(folder, second) == TEXT["label_first"]
    assert labels.skip(folder, second).status.startswith("1 of 4. The reader guesses: b")
    assert accept(labels, other, "B").status.startswith("2 of 2. The reader guesses: a")
    assert table(folder) == ["d.png,ddd"] and table(other) == ["b.png,B"]


def test_the_rest_is_read_in_the_background(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(label_queue, "AT_ONCE", 2)
    fill(tmp_path, [*(f"{name}.png" for name in GUESSES), *(f"e{number}.png" for number in range(9))])

    class Patient(Reader):
        hold = threading.Event()

        def read_many(self, pictures: Iterable[Path], **options: Any) -> Iterator[Reading | PictureError]:
            assert not self.asked or self.hold.wait(10)
            return super().read_many(pictures, **options)

    reader = Patient()
    labels = LabelHandlers(ready(reader))
    assert labels.show(tmp_path, ENGLISH).status.startswith("1 of 14. The reader guesses: b")  # only a and b are read
    reader.hold.set()
    deadline = time.monotonic() + 10
    while sum(map(len, reader.asked)) < 14 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert labels.skip(tmp_path, ENGLISH).status == "2 of 14. The reader found no text."  # d


def test_a_reader_that_could_not_be_loaded_says_why(folder: Path) -> None:
    future: Future[Any] = Future()
    future.set_exception(ValueError("there is no such checkpoint."))
    sentence = TEXT["no_reader"].format("there is no such checkpoint.")
    assert LabelHandlers(future).show(folder, ENGLISH) == sentence


def test_a_fault_of_ours_is_a_sentence_here_and_a_traceback_in_the_log(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    class Faulty:
        def read_many(self, pictures: Any, **options: Any) -> None:
            raise RuntimeError("inner")

    assert LabelHandlers(ready(Faulty())).show(folder, ENGLISH) == TEXT["failed"]
    assert "inner" in caplog.text


def test_a_disk_that_is_full_costs_a_sentence(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: Any) -> None:
        raise OSError(28, "No space left on device", str(folder))

    labels = LabelHandlers(ready(Reader()))
    labels.show(folder, ENGLISH)
    monkeypatch.setattr(label_queue, "write_table", full)
    assert accept(labels, folder, "x") == TEXT["label_not_saved"].format("No space left on device")
    monkeypatch.undo()
    assert accept(labels, folder, "x").status.startswith("2 of 5. ")


def test_a_guess_is_never_taken_for_markup(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(GUESSES, "a", ("<b>", 0.5))
    shown = LabelHandlers(ready(Reader())).show(fill(tmp_path, ["a.png"]), ENGLISH)
    assert isinstance(shown, Shown) and "<b>" not in shown.card + shown.status
    assert '&lt;b<span class="unsure">&gt;</span>' in shown.card and shown.text == "<b>"


def test_a_photo_is_sent_smaller_and_shown_as_large_as_it_is_twice(tmp_path: Path) -> None:
    Image.new("RGB", (3000, 600)).save(tmp_path / "a.png")
    card = label.card_html(tmp_path / "a.png", None, "", "en")
    assert 'width="6000"' in card and TEXT["nothing"] in card
