"""Messages drawn as Slack shows them: what is formatted, what is not, and that nothing in a message can run."""

from datetime import UTC, datetime
from html.parser import HTMLParser
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.emulators import slack_html, slack_mrkdwn
from bridge.emulators.slack_messages import Message
from bridge.emulators.slack_mrkdwn import Reader

MOMENT = 1_392_734_382  # Slack's own example: 2014-02-18 14:39:42 UTC
READER = Reader(zone=UTC, now=MOMENT + 5, names={"U0001": "genesis-bridge", "C1": "qa"})


def said(text, reader=READER):
    """Return mrkdwn as HTML."""
    return slack_mrkdwn.html(text, reader)


def drawn(*blocks, reader=READER, **more):
    """Return a message with these blocks."""
    known = {"channel": "C1", "ts": f"{MOMENT}.000100", "text": "e2e: <done>", "via": "chat.postMessage"}
    return slack_html.drawn(Message(**(known | {"blocks": list(blocks)} | more)), reader)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("*e2e*: done", "<b>e2e</b>: done"),
        ("_a_ and ~b~", "<i>a</i> and <s>b</s>"),
        ("*a _b_*", "<b>a <i>b</i></b>"),
        ("2*3*4 snake_case_name a~b~c", "2*3*4 snake_case_name a~b~c"),
        ("* a * _ b _", "* a * _ b _"),
        ("**a**", "**a**"),
        ("`*a* <b>`", "<code>*a* &lt;b&gt;</code>"),
        ("```\n*a*\n<https://x|y>```z", "<pre>*a*\n&lt;https://x|y&gt;</pre>z"),
        ("a\nb", "a<br>b"),
        ("&gt; *a*\n&gt; b\nc", "<blockquote><b>a</b><br>b</blockquote>c"),
        ("1 &lt; 2 &amp;amp; 3", "1 &lt; 2 &amp;amp; 3"),
        ("<https://x.example/?a=1&amp;b=2|Open *it*>", "Open *it*"),
        ("<https://x.example>", "https://x.example"),
        ("<mailto:a@b|a@b> <tel:+1>", "+1"),
        ("<@U0001> <@U7|ann> <@U8> <#C1> <#C9|dev>", "@genesis-bridge"),
        ("<!here> <!subteam^S1|@qa> <!channel>", "@here"),
        ("<javascript:alert(1)|x>", "&lt;javascript:alert(1)|x&gt;"),
        ("<b>", "&lt;b&gt;"),
    ],
)
def test_mrkdwn_is_read_as_slack_reads_it(text, shown):
    """Bold, italic and strike at words only; nothing within code; and only what Slack makes a link is one."""
    found = said(text)
    assert shown in found
    assert ("<a " in found) == text.startswith(("<https", "<mailto"))


def test_references_have_names_and_links_their_own_text():
    """The reader sees names of people and channels, and where a link really leads."""
    assert said("<@U0001><@U7|ann><@U8><#C1><!here><!subteam^S1|@qa>").replace('<span class="mention">', "").split(
        "</span>"
    ) == ["@genesis-bridge", "@ann", "@U8", "#qa", "@here", "@qa", ""]
    assert said('<https://x/"?a&amp;b|A>') == '<a href="https://x/&quot;?a&amp;b" rel="noreferrer">A</a>'
    assert said("<mailto:a@b>") == '<a href="mailto:a@b" rel="noreferrer">a@b</a>'


@pytest.mark.parametrize(
    ("wanted", "shown"),
    [
        ("date_num", "2014-02-18"),
        ("date", "February 18th, 2014"),
        ("date_short", "Feb 18, 2014"),
        ("date_long", "Tuesday, February 18th, 2014"),
        ("date_short_pretty", "today"),
        ("date_pretty", "today"),
        ("time", "2:39 PM"),
        ("time_secs", "2:39:42 PM"),
        ("unheard_of", "{unheard_of}"),
        ("unheard_of_pretty", "{unheard_of_pretty}"),
    ],
)
def test_a_moment_has_slacks_formats(wanted, shown):
    """As documented, for a reader in UTC on that day."""
    assert slack_mrkdwn.moment(MOMENT, wanted, READER) == shown


@pytest.mark.parametrize(
    ("days", "shown"), [(-1, "tomorrow"), (0, "today"), (1, "yesterday"), (2, "Feb 18, 2014"), (-2, "Feb 18, 2014")]
)
def test_a_day_near_the_reader_has_a_name(days, shown):
    """Which day it is depends on when the reader looks."""
    reader = Reader(zone=UTC, now=MOMENT + days * 86_400)
    assert slack_mrkdwn.moment(MOMENT, "date_short_pretty", reader) == shown


@pytest.mark.parametrize(
    ("day", "shown"), [(1, "1st"), (2, "2nd"), (3, "3rd"), (4, "4th"), (11, "11th"), (13, "13th"), (22, "22nd")]
)
def test_days_have_their_endings(day, shown):
    """As English has them."""
    at = datetime(2014, 3, day, 0, 5, tzinfo=UTC).timestamp()
    assert slack_mrkdwn.moment(at, "date", READER) == f"March {shown}, 2014"
    assert slack_mrkdwn.moment(at, "time", READER) == "12:05 AM"


def test_a_date_is_told_in_the_readers_zone():
    """Not in ours, nor the engine's; with a link where it has one."""
    text = f"<!date^{MOMENT}^{{date_num}} {{time}}^https://x|2014>"
    tokyo = READER._replace(zone=ZoneInfo("Asia/Tokyo"))
    assert said(text, tokyo) == '<a href="https://x" rel="noreferrer">2014-02-18 11:39 PM</a>'
    assert said(f"<!date^{MOMENT}^at {{time}}|then>") == "<time>at 2:39 PM</time>"


def test_every_block_is_drawn():
    """Header, section with fields and an accessory, context, buttons, divider, picture, Markdown; others by name."""
    button = {"type": "button", "text": {"type": "plain_text", "text": "Run <again>"}, "action_id": "a"}
    asking = button | {"style": "danger", "confirm": {"text": {"type": "plain_text", "text": 'Sure "now"?'}}}
    linked = button | {"url": "https://x/?a&b", "style": "primary"}
    found = drawn(
        {"type": "header", "text": {"type": "plain_text", "text": "*Nightly*"}},
        {"type": "section", "text": {"type": "mrkdwn", "text": "*a*"}, "accessory": button},
        {"type": "section", "fields": [{"type": "mrkdwn", "text": "*b*\nc"}]},
        {"type": "section", "accessory": {"type": "overflow"}},
        {
            "type": "context",
            "elements": [
                {"type": "image", "image_url": "https://i", "alt_text": "face"},
                {"type": "mrkdwn", "text": "_d_"},
                {"type": "plain_text", "text": "_e_"},
            ],
        },
        {"type": "actions", "elements": [asking, linked, button | {"url": "javascript:alert(1)"}]},
        {"type": "divider"},
        {
            "type": "image",
            "image_url": "https://i",
            "alt_text": "a chart",
            "title": button["text"],
        },
        {"type": "image", "image_url": "https://i", "alt_text": "another"},
        {"type": "markdown", "text": "# <b>"},
        {"type": "video"},
        {},
    )
    for expected in (
        "<h3><span>*Nightly*</span></h3>",
        '<div class="section"><span><b>a</b></span><button type="button" class="">',
        '<div class="fields"><span><b>b</b><br>c</span></div>',
        '<span class="note">[overflow]</span>',
        '<div class="context"><img alt="face" src="https://i"><span><i>d</i></span><span>_e_</span></div>',
        '<button type="button" class="danger" title="Sure &quot;now&quot;?"><span>Run &lt;again&gt;</span></button>',
        '<a class="button primary" role="button" href="https://x/?a&amp;b" rel="noreferrer">',
        "<hr>",
        '<figure><figcaption><span>Run &lt;again&gt;</span></figcaption><img alt="a chart"',
        '<figure><img alt="another"',
        "<pre># &lt;b&gt;</pre>",
        '<p class="note">[video]</p>',
        '<p class="note">[None]</p>',
    ):
        assert expected in found
    assert "javascript" not in found


def test_a_message_says_what_slack_says_beside_it():
    """When it was posted, whether it was edited, whether only one person sees it; without blocks its text."""
    found = drawn(edits=2, ephemeral=True)
    for expected in ('aria-label="e2e: &lt;done&gt;"', "2:39 PM", "(edited)", "Only visible to you"):
        assert expected in found
    assert "<span>e2e: &lt;done&gt;</span>" in drawn(blocks=None)
    assert "(edited)" not in drawn()


def test_a_page_has_channels_and_threads():
    """Replies stand under what they answer; those to somebody else's message in a thread of their own."""
    known = {"via": "chat.postMessage", "blocks": None}
    messages = [
        Message(channel="C1", ts="1.1", text="first", **known),
        Message(channel="C9", ts="1.2", text="elsewhere", **known),
        Message(channel="C1", ts="1.3", text="reply", thread_ts="1.1", **known),
        Message(channel="C1", ts="1.4", text="answer", thread_ts="0.9", **known),
    ]
    page = slack_html.page(messages, READER, refresh_seconds=2)
    assert 'http-equiv="refresh" content="2"' in page
    order = [
        page.index(text) for text in ("#qa", ">first<", 'class="thread"', ">reply<", ">answer<", "#C9", ">elsewhere<")
    ]
    assert order == sorted(order)
    assert page.count('class="thread"') == 2
    assert "No messages yet" in slack_html.page([], READER)
    assert "refresh" not in slack_html.page([], READER)


class Tags(HTMLParser):
    """What a browser would make of it."""

    def __init__(self):
        super().__init__()
        self.tags, self.links, self.attributes = set(), set(), set()

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attributes}
        self.links |= {value.partition(":")[0] for name, value in attributes if name == "href"}


PIECES = st.sampled_from(
    ["<script>", "</pre>", "<img src=x onerror=alert(1)>", '"', "'", "<", ">", "&lt;", "|", "*", "_", "~", "`", "```",
     "<!date^1^{time}^javascript:alert(1)|x>", "<https://x|", "<javascript:alert(1)|x>", "<@U1|", "&gt; ", "\n", "a "]
)  # fmt: skip


@given(st.lists(PIECES | st.text(max_size=3)).map("".join))
def test_whatever_stands_in_a_message_is_text(text):
    """No tag, attribute or link comes out of it but those that the drawing itself makes."""
    seen = Tags()
    seen.feed(drawn({"type": "section", "text": {"type": "mrkdwn", "text": text}}, text=text))
    seen.close()
    assert seen.tags <= set("article div span b i s code pre a br blockquote time".split())
    assert seen.attributes <= set("aria-label aria-hidden class href rel".split())
    assert seen.links <= {"http", "https", "mailto", "tel"}
