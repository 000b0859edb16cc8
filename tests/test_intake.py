"""Pictures that a person brings: labels, what can't be used and why, and zips, the bad ones above all."""

from __future__ import annotations

import io
import re
import shutil
import stat
import struct
import unicodedata
import zipfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from crnn import intake
from crnn.charset import Charset
from crnn.intake import (
    Examined,
    Example,
    Limits,
    check_limits,
    examine,
    frames_needed,
    read_folder,
    split,
    unpack,
    write_table,
)

CHARSET = Charset("0123456789abcxyz")


def picture(seed: int = 0, width: int = 120, height: int = 40) -> bytes:
    """A PNG of noise, another one for each seed."""
    file = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def one_sentence(error: BaseException, *secrets: Path) -> bool:
    said = re.sub("'[^']*'", "'…'", str(error))  # what it quotes may hold dots
    ends = said.count(". ") == 0 and said.endswith(".") and len(said) > 25
    return ends and said.isprintable() and not any(str(secret) in said for secret in secrets)


# ---------------------------------------------------------------- folders


def labels(folder: Path, names: bool = True) -> list[tuple[str, str]]:
    return [(example.path.relative_to(folder).as_posix(), example.text) for example in read_folder(folder, names)]


def test_labels_come_from_the_names_where_there_is_no_table(tmp_path: Path) -> None:
    for name in ("ab1.png", "ab1_2.png", "a_b.JPG", "sub/xy.gif", ".hidden.png", "__MACOSX/q.png", "notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "folder.png").mkdir()
    expected = [("a_b.JPG", "a_b"), ("ab1.png", "ab1"), ("ab1_2.png", "ab1"), ("sub/xy.gif", "xy")]
    assert labels(tmp_path) == expected
    assert labels(tmp_path, names=False) == [(name, "") for name, _ in expected]


def test_labels_come_from_each_table_and_only_from_there(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    for name in ("a.png", "b.png", "sub/c.png", "sub/d.png"):
        (tmp_path / name).touch()
    (tmp_path / "metadata.csv").write_text('file_name, text\na.png, XY9\nsub/c.png,"a,\u2028b"\n', "utf-8-sig")
    (tmp_path / "sub/metadata.csv").write_text("text,more,file_name\n7,,d.png\n,,\n")
    assert labels(tmp_path) == [("a.png", "XY9"), ("sub/c.png", "a,\u2028b"), ("sub/d.png", "7"), ("b.png", "")]


def test_a_table_may_be_of_another_country_or_from_windows(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    for name in ("a.png", "sub/b.png"):
        (tmp_path / name).touch()
    for content in (
        "File_Name ; Text\na.png;1,5\nsub\\b.png;x\n",
        '"file_name";"text"\n"a.png";"1,5"\n"sub/b.png";"x"\n',
        "text\tfile_name\n1,5\ta.png\nx\tsub/b.png\n",
    ):
        (tmp_path / "metadata.csv").write_text(content)
        assert labels(tmp_path) == [("a.png", "1,5"), ("sub/b.png", "x")]


def test_names_that_a_camera_gives_are_no_labels(tmp_path: Path) -> None:
    for number in range(3):
        (tmp_path / f"IMG_{number:04}.jpg").touch()
    assert labels(tmp_path) == [(f"IMG_{number:04}.jpg", "") for number in range(3)]
    (tmp_path / "ab.jpg").touch()
    assert labels(tmp_path)[0] == ("IMG_0000.jpg", "IMG")


def test_a_folder_without_labels_says_what_it_needs(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no labelled pictures; give a metadata.csv") as caught:
        read_folder(tmp_path)
    assert one_sentence(caught.value)
    with pytest.raises(ValueError, match="There is no folder") as caught:
        read_folder(tmp_path / "nowhere")
    assert one_sentence(caught.value)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"name,label\na.png,a\n", "has the columns 'name, label'; it needs file_name and text"),
        (b"file_name:text\na.png:a\n", "has the columns 'file_name:text'; it needs file_name and text, with a comma"),
        (b"file_name,text\na.png,a\nb.png,b,c\n", "Line 3 of metadata.csv has 3 values for 2 columns; put quotes"),
        (
            b'file_name,text\na.png,"a\nb.png,b\n',
            "is no table of comma-separated values .unexpected end of data.; save",
        ),
        (b"", "has the columns none; it needs"),
        ("file_name,text\na.png,é\n".encode("latin-1"), r"is not UTF-8 \(byte 0xe9 at 21\); save it as UTF-8"),
        ("file_name,text\na.png,é\n".encode("utf-16"), r"is not UTF-8 \(byte 0xff at 0\)"),
        ("file_name,text\na.png,e\n".encode("utf-16-le"), r"is not UTF-8 \(it holds zero bytes\)"),
        (b"file_name,text\na.png," + b"x" * 200_000, "is no table of comma-separated values"),
        (b"\x89PNG\r\n", "is not UTF-8"),
        (b"file_name,text\n../a.png,a\n", r"names '../a.png', which leads out of its folder; name files beside it"),
        (b"file_name,text\nsub/../../a.png,a\n", "leads out of its folder; name files"),
        (b"file_name,text\n.. /a.png,a\n", "leads out of its folder; name files"),
        (b"file_name,text\n/etc/a.png,a\n", "leads out of its folder; name files"),
        (b"file_name,text\n\\\\host\\a.png,a\n", "leads out of its folder; name files"),
        (b"file_name,text\nC:a.png,a\n", "leads out of its folder; name files"),
        (b'file_name,text\n"a\nb.png",a\n', r"names 'a\\nb.png'; use shorter names"),
        (b"file_name,text\n" + b"a" * 300 + b".png,a\n", "use shorter names"),
        (b"file_name,text\n" + b"a/" * 3000 + b".png,a\n", "use shorter names"),
        (b"file_name,text\na.png,x\n./a.png,y\n", "names a.png twice, with the labels 'x' and 'y'; keep the right one"),
    ],
)
def test_a_table_that_is_not_what_it_should_be_gets_one_sentence(tmp_path: Path, content: bytes, said: str) -> None:
    (tmp_path / "a.png").write_bytes(picture())
    (tmp_path / "metadata.csv").write_bytes(content)
    with pytest.raises(ValueError, match=said) as caught:
        read_folder(tmp_path)
    assert one_sentence(caught.value, tmp_path)


def test_what_was_written_is_read_again(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    examples = [
        Example(tmp_path / "a.png", 'x,"y" \n'),
        Example(tmp_path / "sub/é.png", ""),
        Example(tmp_path / "b", "ü"),
    ]
    for _ in range(2):
        write_table(tmp_path, examples)
        assert read_folder(tmp_path) == examples
    with pytest.raises(UnicodeEncodeError):
        write_table(tmp_path, [Example(tmp_path / "a.png", "\udcff")])
    assert read_folder(tmp_path) == examples  # or not at all


def test_pictures_may_be_links_in_a_folder_of_ones_own(tmp_path: Path) -> None:
    (tmp_path / "elsewhere.png").write_bytes(picture())
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/ab1.png").symlink_to(tmp_path / "elsewhere.png")
    (tmp_path / "mine/broken.png").symlink_to(tmp_path / "gone.png")
    assert labels(tmp_path / "mine") == [("ab1.png", "ab1")]


# ---------------------------------------------------------------- zips


def entry(name: str, mode: int = 0o644) -> zipfile.ZipInfo:
    made = zipfile.ZipInfo(name)
    made.external_attr = mode << 16
    made.compress_type = zipfile.ZIP_DEFLATED
    return made


def zipped(folder: Path, *files: tuple[str | zipfile.ZipInfo, bytes]) -> Path:
    """A zip of these files, in a folder of its own so that what leads out of the target is found."""
    folder.mkdir(exist_ok=True)
    with zipfile.ZipFile(folder / "pictures.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files:
            archive.writestr(name if isinstance(name, zipfile.ZipInfo) else entry(name), content)
    return folder / "pictures.zip"


def everything(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if not path.is_dir()}


def refused(archive: Path, said: str, limits: Limits | None = None) -> None:
    """Assert that it is refused in one sentence, and that nothing was written beside it."""
    root = archive.parent
    before = everything(root)
    with pytest.raises(ValueError, match=said) as caught:
        unpack(archive, root / "session" / "target", limits)
    assert one_sentence(caught.value, root), caught.value
    assert everything(root) == before


def test_pictures_and_tables_are_unpacked_and_nothing_else(tmp_path: Path) -> None:
    archive = zipped(
        tmp_path,
        ("metadata.csv", b"file_name,text\nsub/1.png,a\n"),
        ("sub/", b""),
        ("x.png/", b""),
        ("sub/1.png", picture(1)),
        ("2.JPEG", b"no picture, but that is told by picture"),
        ("run.py", b"print()"),
        ("__MACOSX/._2.JPEG", b"macOS"),
        ("sub/.DS_Store", b""),
        (".hidden/3.png", b""),
    )
    target = tmp_path / "new" / "target"
    unpack(archive, target)
    assert everything(target) == {target / name for name in ("metadata.csv", "sub/1.png", "2.JPEG")}
    assert (target / "sub/1.png").read_bytes() == picture(1)
    assert labels(target) == [("sub/1.png", "a"), ("2.JPEG", "")]
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["target"]


@pytest.mark.parametrize(
    "name",
    [
        "../a.png", "a/../../b.png", "..", "sub/..", ".. /a.png", "... ./a.png", "/etc/a.png", "//host/a.png",
        "C:/a.png", "c:a.png", "\\a.png", "..\\a.png",
    ],
)  # fmt: skip
def test_names_that_lead_out_are_refused(tmp_path: Path, name: str) -> None:
    refused(zipped(tmp_path, ("1.png", picture()), (name, picture())), "leads out of its folder; make it again")


@pytest.mark.parametrize(
    "name",
    [
        "sub\\a.png",
        "a\nb.png",
        "a\x1b[2J.png",
        "a\u202egnp.png",
        "a" * 300 + ".png",
        "é" * 150 + ".png",
        "a/" * 600 + "a.png",
    ],
)
def test_names_that_no_one_could_store_or_show_are_refused(tmp_path: Path, name: str) -> None:
    refused(zipped(tmp_path, ("1.png", picture()), (name, picture())), "use shorter names without control characters")


def test_names_of_any_language_are_fine(tmp_path: Path) -> None:
    names = {"é.png", "文字.png", "a b (2).png", "a..b.png", "1:2.png", "x" * 236 + ".png"}
    unpack(zipped(tmp_path, *((name, picture()) for name in names)), tmp_path / "target")
    assert {path.name for path in everything(tmp_path / "target")} == names


def test_links_are_refused(tmp_path: Path) -> None:
    for name in ("a.png", "sub", ".hidden"):
        link = entry(name, stat.S_IFLNK | 0o777)
        refused(
            zipped(tmp_path, ("1.png", picture()), (link, b"/etc/passwd")), f"holds the link '{name}'; put the picture"
        )


def test_a_name_that_is_file_and_folder_is_refused(tmp_path: Path) -> None:
    refused(zipped(tmp_path, ("a.png", picture()), ("a.png/b.png", picture())), "can't be unpacked")


@pytest.mark.parametrize("names", [("a.png", "a.png"), ("sub/a.png", "sub//a.png"), ("a.png", "./a.png")])
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_name_that_comes_twice_is_refused(tmp_path: Path, names: tuple[str, str]) -> None:
    refused(zipped(tmp_path, *((name, picture()) for name in names)), "a.png' more than once; give each picture a name")


@pytest.mark.parametrize("name", ["more.zip", "sub/more.ZIP", "more.tar.gz", "more.7z"])
def test_archives_within_are_refused(tmp_path: Path, name: str) -> None:
    refused(zipped(tmp_path, ("1.png", picture()), (name, b"PK")), "holds another archive, '.+'; put the pictures")


def test_a_zip_without_pictures_is_refused(tmp_path: Path) -> None:
    refused(zipped(tmp_path), r"holds no picture \(.png, .+\); put your pictures into it")
    refused(
        zipped(tmp_path, ("metadata.csv", b"file_name,text\n"), ("x.png/", b""), ("a.txt", b"")), "holds no picture"
    )


def test_one_picture_is_unpacked(tmp_path: Path) -> None:
    unpack(zipped(tmp_path, ("ab.png", picture())), tmp_path / "target")
    assert labels(tmp_path / "target") == [("ab.png", "ab")]


def test_10_001_pictures_are_refused(tmp_path: Path) -> None:
    archive = zipped(tmp_path, *((f"{number}.png", b"") for number in range(10_001)))
    refused(archive, "^10,001 pictures came, and at most 10,000 can be taken; bring fewer.$")
    refused(zipped(tmp_path, *((f"{n}.gif", b"") for n in range(4))), "at most 3 can", Limits(pictures=3))


def test_so_many_files_that_their_list_fills_the_memory_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = zipped(tmp_path, ("a.png", picture()), *((f"{number}.txt", b"") for number in range(9)))
    for size in (4, 5, 7, 1 << 20):
        monkeypatch.setattr(intake, "CHUNK", size)
        assert intake._count_entries(archive) == 10
    monkeypatch.setattr(intake, "MOST_ENTRIES", 9)
    refused(archive, "^The zip holds more than 9 files, and at most 10,000 pictures can be taken; bring fewer.$")
    monkeypatch.setattr(intake, "MOST_ENTRIES", 10)
    unpack(archive, tmp_path / "target")


def test_bombs_are_refused_unopened(tmp_path: Path) -> None:
    bomb = zipped(tmp_path, ("a.png", bytes(5_000_000)))
    assert bomb.stat().st_size < 6_000
    refused(bomb, "unpacks to more than 200 times its size, as no pictures do")
    many = zipped(tmp_path, *((f"{number}.png", picture(number, 400, 300)) for number in range(3)))  # 360 kB each
    refused(many, "^The pictures have 1 MB, and at most 1 MB can be taken; bring fewer.$", Limits(megabytes=1))


def patched(archive: Path, at: int, form: str, value: int) -> Path:
    """A number in the last entry of the zip's list of files changed, so that it lies; `at` from the entry's start."""
    content = bytearray(archive.read_bytes())
    struct.pack_into(form, content, content.rindex(intake.ENTRY) + at, value)
    archive.write_bytes(content)
    return archive


PACKED_SIZE, SIZE = 20, 24  # where they stand in an entry


def test_sizes_that_lie_are_found_out(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).bytes(3_000_000)
    refused(patched(zipped(tmp_path, ("a.png", noise)), SIZE, "<L", 300_000_000), "have 300 MB, and at most 200 MB")
    # Said to be small: no more is written than was said, and its checksum is wrong.
    refused(patched(zipped(tmp_path, ("a.png", bytes(30_000_000))), SIZE, "<L", 1000), "can't be unpacked")
    # Said to be large when packed, so that the ratio would pass.
    bomb = patched(zipped(tmp_path, ("a.png", bytes(9_000_000))), PACKED_SIZE, "<L", 9_000_000)
    refused(bomb, "unpacks to more than 200 times its size")


@pytest.mark.parametrize("flags", [0x1, 0x41, 0x2000])
def test_encrypted_zips_are_refused(tmp_path: Path, flags: int) -> None:
    refused(
        patched(zipped(tmp_path, ("a.png", picture())), 8, "<H", flags), "is encrypted; make one without a password"
    )


@pytest.mark.parametrize("method", [zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2])
def test_unusual_methods_are_refused(tmp_path: Path, method: int) -> None:
    with zipfile.ZipFile(tmp_path / "pictures.zip", "w", method) as archive:
        archive.writestr("a.png", picture())
    refused(tmp_path / "pictures.zip", "compressed in an unusual way; make it with the usual method")


@pytest.mark.parametrize("content", [b"", b"PK", picture(), b"x" * 100_000, "ä".encode() * 1000])
def test_what_is_no_zip_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "pictures.zip").write_bytes(content)
    refused(tmp_path / "pictures.zip", r"^The zip can't be unpacked \(File is not a zip file\); make it again.$")


def test_a_zip_that_is_gone_is_said(tmp_path: Path) -> None:
    refused(tmp_path / "gone.zip", r"can't be unpacked \(No such file or directory\)")


def test_a_damaged_picture_in_the_middle_costs_all_and_leaves_nothing(tmp_path: Path) -> None:
    files = [(f"{number}.png", picture(number)) for number in range(3)]
    content = bytearray(zipped(tmp_path, *files).read_bytes())
    content[content.index(b"1.png") + 2000] ^= 1
    (tmp_path / "pictures.zip").write_bytes(content)
    refused(tmp_path / "pictures.zip", r"can't be unpacked \(.+\); make it again")


def test_no_damage_does_more_than_one_sentence(tmp_path: Path) -> None:
    """Cut off, changed or doubled bytes anywhere: the pictures as they were, or one sentence and nothing."""
    files = {f"sub/{number}.png": picture(number, 8, 8) for number in range(3)}
    files["metadata.csv"] = b"file_name,text\nsub/0.png,a\n"
    good = zipped(tmp_path, *files.items()).read_bytes()
    rng = np.random.default_rng(0)
    outcomes: Counter[bool] = Counter()
    for number in range(600):
        content = bytearray(good)
        kind = number % 3
        if kind == 0:
            content = content[: rng.integers(len(content))]
        elif kind == 1:
            start = 0 if number % 2 else good.index(intake.ENTRY)  # the list of files at its end, more often
            for _ in range(rng.integers(1, 4)):
                content[rng.integers(start, len(content))] = rng.integers(256)
        else:
            start, end = sorted(rng.integers(len(content), size=2))
            content[start:start] = content[start:end]
        (tmp_path / "pictures.zip").write_bytes(content)
        target = tmp_path / "session"
        shutil.rmtree(target, ignore_errors=True)
        try:
            unpack(tmp_path / "pictures.zip", target)
        except ValueError as error:
            assert one_sentence(error, tmp_path), error
            assert not everything(target)
            outcomes[False] += 1
        else:
            assert all(path.read_bytes() in files.values() for path in everything(target))
            outcomes[True] += 1
        assert {path.name for path in tmp_path.iterdir()} <= {"pictures.zip", "session"}
    assert min(outcomes[False], outcomes[True]) > 30, outcomes


def test_limits_hold_for_pictures_and_bytes() -> None:
    check_limits(10, 5_000_000, Limits(10, 5))
    with pytest.raises(ValueError, match="^11 pictures came, and at most 10 can be taken; bring fewer.$"):
        check_limits(11, 0, Limits(10, 5))
    with pytest.raises(ValueError, match="at most 5 MB can be taken"):
        check_limits(1, 5_000_001, Limits(10, 5))


# ---------------------------------------------------------------- which can be used


def examined(folder: Path, *files: tuple[str, bytes, str]) -> Examined:
    examples = []
    for name, content, text in files:
        (folder / name).write_bytes(content)
        examples.append(Example(folder / name, text))
    return examine(examples, CHARSET, 48, 4)


def problem(folder: Path, *files: tuple[str, bytes, str]) -> str:
    """The one problem there is."""
    [found] = examined(folder, *files).problems
    assert found.sentence.endswith(".") and str(folder) not in found.sentence and found.sentence.isprintable()
    return found.sentence


def test_labels_are_stripped_and_composed_and_may_bring_new_characters(tmp_path: Path) -> None:
    decomposed = unicodedata.normalize("NFD", "é7")
    found = examined(tmp_path, ("1.png", picture(1), f" {decomposed}\t\n"), ("2.png", picture(2), "Z 文a"))
    assert [example.text for example in found.usable] == ["é7", "Z 文a"] and len(decomposed) == 3
    assert found.new_characters == " Zé文" and not found.problems


@pytest.mark.parametrize("text", ["", "  ", "\n\t"])
def test_no_label_is_said(tmp_path: Path, text: str) -> None:
    assert problem(tmp_path, ("1.png", picture(), text)) == "It has no label; label it, or leave it out."


@pytest.mark.parametrize("character", ["\0", "\x07", "\x1b", "\ufffd", "\u200b", "\u202e", "\ud800", "\ue000", "\xa0"])
def test_characters_that_no_one_can_see_are_named(tmp_path: Path, character: str) -> None:
    said = problem(tmp_path, ("1.png", picture(), f"a{character}b"))
    assert f"holds the unknown character {character!r}; correct" in said


def test_a_label_longer_than_the_picture_is_said(tmp_path: Path) -> None:
    # 40 px high and 40 wide: at 48 px of height and 4 px a frame that is 12 frames.
    assert not examined(tmp_path, ("1.png", picture(1, 40), "012345678901")).problems
    said = problem(tmp_path, ("1.png", picture(1, 40), "0123456789012"))
    assert said.startswith("Its label '0123456789012' is too long for a picture so narrow (12 frames for 13); check")
    tall = picture(1, 167, 200)  # 12 frames as it is, 8 at the height of 72 px that it is trained on at
    assert "(8 frames for 9)" in problem(tmp_path, ("1.png", tall, "abcdefghi"))
    assert "(12 frames for 13)" in problem(tmp_path, ("1.png", picture(1, 40), "012345678900"))
    assert len(problem(tmp_path, ("1.png", picture(1, 40), "0" * 100_000))) < 200


def test_equal_neighbours_need_a_frame_between() -> None:
    assert [frames_needed(text) for text in ("", "a", "ab", "aab", "aaa")] == [0, 1, 2, 4, 5]


def test_files_that_are_no_pictures_are_said_without_the_servers_paths(tmp_path: Path) -> None:
    assert problem(tmp_path, ("1.png", b"", "a")) == "The file is empty (0 bytes); choose a picture."
    assert "is not a picture" in problem(tmp_path, ("1.png", b"GIF or so", "a"))
    assert "is damaged or cut off" in problem(tmp_path, ("1.png", picture()[:-100], "a"))
    assert "is 1x40 px" in problem(tmp_path, ("1.png", picture(0, 1), "a"))
    (tmp_path / "x.png").mkdir()
    found = examine([Example(tmp_path / "gone.png", "a"), Example(tmp_path / "x.png", "a")], CHARSET, 48, 4)
    assert [one.file for one in found.problems] == ["gone.png", "x.png"]
    assert found.problems[0].sentence == "There is no file gone.png; check the name."
    assert found.problems[1].sentence == "x.png is a folder, not a picture; give the pictures in it."


def test_of_equal_pictures_one_is_used_whatever_their_format(tmp_path: Path) -> None:
    bitmap = io.BytesIO()
    Image.open(io.BytesIO(picture(1))).save(bitmap, "BMP")
    found = examined(
        tmp_path, ("1.png", picture(1), "a"), ("2.bmp", bitmap.getvalue(), " a"), ("3.png", picture(2), "a")
    )
    assert [example.path.name for example in found.usable] == ["1.png", "3.png"]
    assert [(one.file, one.sentence) for one in found.problems] == [
        ("2.bmp", "It is the same picture as 1.png; one of them is enough.")
    ]


def test_equal_pictures_whose_labels_differ_are_none_of_them_used(tmp_path: Path) -> None:
    files = [
        ("1.png", picture(1), "a"),
        ("2.png", picture(1), "a"),
        ("3.png", picture(1), "b"),
        ("4.png", picture(2), "c"),
    ]
    found = examined(tmp_path, *files)
    assert [example.path.name for example in found.usable] == ["4.png"] and found.new_characters == ""
    differs = "It is the same picture as {}, but its label is {!r} and not {!r}; correct the wrong one."
    assert {one.file: one.sentence for one in found.problems} == {
        "1.png": differs.format("3.png", "a", "b"),
        "2.png": differs.format("3.png", "a", "b"),
        "3.png": differs.format("1.png", "b", "a"),
    }


def test_pictures_of_the_same_bytes_and_another_shape_are_two(tmp_path: Path) -> None:
    for name, shape in (("1.png", (40, 60)), ("2.png", (60, 40))):
        Image.new("RGB", shape, "white").save(tmp_path / name)
    found = examine([Example(tmp_path / name, "a") for name in ("1.png", "2.png")], CHARSET, 48, 4)
    assert len(found.usable) == 2


def test_new_characters_have_a_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intake, "MOST_NEW_CHARACTERS", 3)
    files = [(f"{number}.png", picture(number), text) for number, text in enumerate(("aPQ", "QRS", "RP", "01"))]
    found = examined(tmp_path, *files)
    assert [example.text for example in found.usable] == ["aPQ", "RP", "01"] and found.new_characters == "PQR"
    assert found.problems[0].sentence == "It brings more than 3 new characters in all; check the labels."


def test_a_file_name_that_is_no_text_can_be_told(tmp_path: Path) -> None:
    path = tmp_path / b"a\xff.png".decode("utf-8", "surrogateescape")
    path.write_bytes(picture())
    found = examine(read_folder(tmp_path), CHARSET, 48, 4)
    assert found.problems[0].file == "a?.png" and "unknown character '\\udcff'" in found.problems[0].sentence


# ---------------------------------------------------------------- what is held out


def said(*texts: str) -> list[Example]:
    return [Example(Path(f"{number}.png"), text) for number, text in enumerate(texts)]


def test_no_text_is_on_both_sides_whatever_the_sets() -> None:
    rng = np.random.default_rng(0)
    tried = 0
    for seed in range(300):
        letters = list("abcABC0ß"[: rng.integers(2, 9)])
        examples = said(*("".join(rng.choice(letters, rng.integers(1, 4))) for _ in range(rng.integers(2, 60))))
        if len({example.text.casefold() for example in examples}) < 2:
            continue
        share = float(rng.uniform(0.02, 0.5))
        training, held_out = split(examples, share, seed)
        assert training and held_out
        assert sorted(training + held_out, key=lambda one: int(one.path.stem)) == examples
        folded = [{example.text.casefold() for example in side} for side in (training, held_out)]
        assert not folded[0] & folded[1]
        assert split(examples, share, seed) == (training, held_out)
        lost = {c for one in held_out for c in one.text} - {c for one in training for c in one.text}
        if len(folded[1]) > 1:  # more than what there must be
            assert not lost and len(held_out) <= 2 * max(1, round(share * len(examples)))
        tried += 1
    assert tried > 200


def test_the_share_is_held_out_and_another_seed_chooses_others() -> None:
    examples = said(*(f"{number:03}" for number in range(200)))
    sides = [split(examples, 0.15, seed)[1] for seed in range(4)]
    assert [len(side) for side in sides] == [30] * 4
    assert len({tuple(example.text for example in side) for side in sides}) == 4


def test_a_character_that_comes_once_is_trained_on() -> None:
    examples = said(*["abc", "bca", "cab", "acb"] * 5, "abQ", "bcq")  # Q and q are two characters
    for seed in range(30):
        held_out = split(examples, 0.3, seed)[1]
        assert not any(example.text in ("abQ", "bcq") for example in held_out)


def test_where_all_are_needed_the_rarest_text_is_held_out() -> None:
    training, held_out = split(said(*["aaa"] * 49, "bbb"), 0.15, 0)
    assert len(training) == 49 and [example.text for example in held_out] == ["bbb"]


@pytest.mark.parametrize("texts", [["Ab"], ["Ab", "ab", "AB"]])
def test_one_text_cannot_be_divided(texts: list[str]) -> None:
    with pytest.raises(ValueError, match=f"^All {len(texts)} usable pictures say 'Ab'; bring pictures with different"):
        split(said(*texts), 0.15, 0)


def test_nothing_cannot_be_divided() -> None:
    with pytest.raises(ValueError, match="no usable pictures; bring some with different texts"):
        split([], 0.15, 0)
