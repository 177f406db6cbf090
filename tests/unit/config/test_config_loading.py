"""YAML that says something else than it seems is reported with file and line, all at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from shell.config.loading import load_path, load_text


def texts(yaml_text: str) -> list[str]:
    """Return the problems of a document called n.yml."""
    return [str(problem) for problem in load_text(yaml_text, "n.yml").problems]


def test_every_duplicate_key_is_reported_with_both_lines() -> None:
    """Each duplicate key names its path and the two lines."""
    assert texts("a: 1\nb:\n  c: 1\n  c: 2\na: 3\n") == [
        "n.yml:4: b.c: written twice, first on line 3; YAML keeps only the last",
        "n.yml:5: a: written twice, first on line 1; YAML keeps only the last",
    ]


def test_tabs_are_named_with_every_line() -> None:
    """Tabs used for indentation are named, each with its line."""
    assert texts("a:\n\tb: 1\n \tc: 2\n") == [
        "n.yml:2: indented with a tab; YAML allows only spaces there",
        "n.yml:3: indented with a tab; YAML allows only spaces there",
    ]


def test_a_tab_inside_a_block_of_text_is_no_problem() -> None:
    """A tab that belongs to a value is left alone."""
    loaded = load_text("a: |\n  x\n  \ty\n", "n.yml")
    assert (loaded.problems, loaded.data) == ([], {"a": "x\n\ty\n"})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: b: c", "n.yml:1: not valid YAML: a second `: ` on this line"),
        ('x: 1\na: "b\nc: 1\n', "n.yml:2: not valid YAML: the quote opened here is never closed"),
        ("- a\n", "n.yml:1: found no mapping; a configuration is written `key: value`"),
        ("a: %x", "n.yml:1: not valid YAML: found character '%'"),
        ("a: \x01", "n.yml: not valid YAML: contains a character that YAML does not allow"),
        ("x: &x {y: *x}", "n.yml:1: x.y: an alias contains itself"),
        ("? [a]\n: 1", "n.yml:1: not valid YAML: found unhashable key"),
    ],
)
def test_a_syntax_error_names_its_line_and_cause(text: str, expected: str) -> None:
    """A document that cannot be read gives one problem with its place."""
    (found,) = texts(text)
    assert found.startswith(expected)


@pytest.mark.parametrize("value", ["*hunter2", "!hunter2 x", '"hunter2', "hunter2: x", "@hunter2"])
def test_no_message_repeats_what_stands_in_the_file(value: str) -> None:
    """A password that breaks the syntax does not appear in the message."""
    (found,) = texts(f"password: {value}\n")
    assert "hunter2" not in found


def test_numbers_remember_how_they_were_written_and_times_stay_text() -> None:
    """Octal, base-60 and date forms do not silently become other values."""
    data = load_text("a: 0123\nb: 12:30\nc: 2024-01-02 10:00:00\nd: 7\n", "n.yml").data
    assert data["a"].text == "0123"
    assert (data["b"], data["c"], data["d"]) == ("12:30", "2024-01-02 10:00:00", 7)


def test_a_directory_is_merged_in_the_order_of_names(tmp_path: Path) -> None:
    """Later files win key by key, lists are replaced, other files are ignored."""
    (tmp_path / "b.yaml").write_text("x: {b: 2, l: [2]}\n")
    (tmp_path / "a.yml").write_text("x: {a: 1, b: 1, l: [1]}\n")
    (tmp_path / "c.txt").write_text("x: 1\n")
    loaded = load_path(tmp_path)
    assert loaded.data == {"x": {"a": 1, "b": 2, "l": [2]}}
    assert loaded.places["x", "b"] == f"{tmp_path}/b.yaml:1"


def test_problems_of_all_files_of_a_directory_are_reported(tmp_path: Path) -> None:
    """A broken file does not hide the problems of the next one."""
    (tmp_path / "a.yml").write_text("a: b: c\n")
    (tmp_path / "b.yml").write_text("a: 1\na: 1\n")
    assert len(load_path(tmp_path).problems) == 2


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    """A missing file, an empty directory, and a file that is no text are told apart."""
    (tmp_path / "empty").mkdir()
    (tmp_path / "bytes.yml").write_bytes(b"a: \xff\xfe\n")
    found = [
        str(load_path(tmp_path / name).problems[0]).removeprefix(f"{tmp_path}/")
        for name in ("none.yml", "empty", "bytes.yml")
    ]
    assert found == [
        "none.yml: cannot be read: No such file or directory",
        "empty: no *.yml or *.yaml in this directory",
        "bytes.yml: is not UTF-8 text (byte 3)",
    ]
