import json
import re

from hypothesis import given
from hypothesis import strategies as st

from bridge.terminal import json_text, line, plain


@given(st.text())
def test_nothing_drives_a_terminal(text):
    """Whatever the text, what is shown is printable; only `plain` keeps line ends and tabs."""
    assert line(text).isprintable()
    assert plain(text).replace("\n", "").replace("\t", "").isprintable()
    line(text).encode()  # half a surrogate pair would fail here


def test_what_is_printable_stays():
    """Other alphabets and emoji are shown as they are."""
    text = "Größe: 10 µm, 日本語, 😀\n\tan indented line"
    assert plain(text) == text
    assert line("a\r\n\tb") == r"a\r\n\tb"


def test_known_attacks_are_written_out():
    """Titles, clipboards, cleared screens and turned text."""
    assert plain("\x1b]52;c;aGk=\x07\x9b2J\u202egnp.exe\x7f") == r"\x1b]52;c;aGk=\x07\x9b2J\u202egnp.exe\x7f"
    assert not re.search(r"[^ -~]", line("\x1b[1A\x1b[2K"))


@given(st.dictionaries(st.text(), st.text()))
def test_a_document_says_the_same(said):
    """What is escaped in JSON is read back as it was."""
    written = json_text(json.dumps(said, ensure_ascii=False, indent=1))
    assert written.replace("\n", "").isprintable()
    assert json.loads(written) == said
