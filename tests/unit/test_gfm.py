"""Held against a CommonMark renderer: what is written there is code, and nothing else is there."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from bridge.gfm import block, cell, code

RENDER = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
HOSTILE = [
    "@everyone",
    "#1 GH-2 owner/repo#3 deadbeefdeadbeef",
    "<img src=x onerror=alert(1)>",
    "<!-- ",
    "[a](https://evil.example) www.evil.example",
    "``` ` `` ```` ~~~",
    "```\n@me\n```",
    "a\n\n# heading\n- [ ] @x",
    "`",
    "``",
    " `a` ",
    "\\`",
    "a|b\\|c",
    "\\",
    "a\u202eb\x00c\x1b[2J",
    "\r\n@a\r@b\u2028@c\x85@d",
    "  ",
    "",
    "\ta",
    "&lt;&#64;me",
    "\\\n",
    "\U0001f469\u200d\U0001f4bb\u00a0é",
]
TEXTS = (
    st.sampled_from(HOSTILE)
    | st.text(st.sampled_from("`~|\\ \n\r@#<>*_[]()!-a&;\t"), max_size=30)
    | st.text(st.characters(exclude_categories=["Cs"]))
)


def inline(tokens):
    """Return the inline parts of the only paragraph, heading or cell among the tokens."""
    [found] = [token.children for token in tokens if token.type == "inline"]
    return [(part.type, part.content) for part in found]


def as_shown(text):
    """Return what a reader should see of a text on one line."""
    line = re.sub("\r\n|[\r\n\v\f\x1c-\x1e\x85\u2028\u2029\t]", " ", text)
    return "".join(one if one.isprintable() or one == "\u200d" else " " if one.isspace() else "\ufffd" for one in line)


@given(TEXTS)
def test_a_line_is_one_span_of_code(text):
    """In a sentence it is all code, it says what it said, and before and after it stands only what we wrote."""
    written = code(text)
    assert "\n" not in written
    before, span, after = inline(RENDER.parse(f"Said {written} here"))
    assert (before, after) == (("text", "Said "), ("text", " here"))
    assert span == ("code_inline", as_shown(text) or " ")


@given(TEXTS)
@pytest.mark.parametrize("around", ["{}", "- {}", "# {}", "> {}", "1. {}"])
def test_a_line_is_code_wherever_it_begins(around, text):
    """Also first in a line, where backticks could open a block, in lists, headings and quotes."""
    tokens = RENDER.parse(around.format(code(text)))
    assert [kind for kind, _ in inline(tokens)] == ["code_inline"]
    assert not {token.type for token in tokens} & {"fence", "code_block", "html_block", "hr"}


@given(TEXTS, TEXTS)
def test_a_cell_is_one_span_of_code(first, second):
    """A table of two columns keeps two, whatever is in them."""
    tokens = RENDER.parse(f"| a | b |\n|---|---|\n| {cell(first)} | {cell(second)} |\n")
    cells = [token.children for token in tokens if token.type == "inline"]
    assert len(cells) == 4
    for text, parts in zip((first, second), cells[2:], strict=True):
        [span] = parts
        assert span.type == "code_inline"
        assert span.content.replace("\\ |", "\\|") == (as_shown(text) or " ").replace("\\ |", "\\|")


@given(TEXTS)
def test_a_block_cannot_be_left(text):
    """It holds every line as it was, and what follows it is what we wrote."""
    tokens = RENDER.parse(f"Before:\n\n{block(text)}\n\nAfter.")
    kinds = [token.type for token in tokens]
    paragraph = ["paragraph_open", "inline", "paragraph_close"]
    assert kinds == [*paragraph, "fence", *paragraph]
    lines = [as_shown(line) for line in re.split("\r\n|[\r\n\v\f\x1c-\x1e\x85\u2028\u2029]", text.replace("\t", "~"))]
    assert tokens[3].content.replace("\t", "~") == "\n".join(lines) + "\n"
    assert tokens[3].info == "text"


@given(TEXTS)
def test_nothing_outside_code_can_mention_or_link(text):
    """GitHub looks for names, references and addresses in the text outside code; of ours there is none."""
    html = RENDER.render(f"Said {code(text)}.\n\n{block(text)}\n\n| a |\n|---|\n| {cell(text)} |\n")
    outside = re.sub("<code[^>]*>.*?</code>", "", html, flags=re.DOTALL)
    assert not re.search(r"@|#|://|www\.|<a|<img|<!|GH-|[0-9a-f]{7}", outside)


@pytest.mark.parametrize("write", [code, block])
def test_a_long_text_is_cut(write):
    """To the limit, an ellipsis at its end."""
    assert "a" * 9 + "…" in write("a" * 11, 10)
    assert "a" * 10 in write("a" * 10, 10)
    assert "…" not in write("a" * 10, 10)
