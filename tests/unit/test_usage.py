import contextlib
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.typed import free_text, words
from bridge.usage import Usage, UsageError, UsageMismatch, other_words

E2E = Usage("e2e <url> [branch=main] [browser=chrome|firefox] [--dry-run] [ticket]")
ASK = Usage("ask <who> [model=small|large] [--loud] <question...>")


def defaults(**given):
    """Return what E2E gives when nothing else is given."""
    return {"branch": "main", "browser": "chrome", "dry_run": False} | given


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("e2e x", defaults(url="x")),
        ("  E2E \u00a0 x  ", defaults(url="x")),
        ("e2e x dev firefox T-1", defaults(url="x", branch="dev", browser="firefox", ticket="T-1")),
        ("e2e browser=firefox x branch=dev", defaults(url="x", branch="dev", browser="firefox")),
        ("e2e dev url=x", defaults(url="x", branch="dev")),
        ("e2e Branch=dev x", defaults(url="x", branch="dev")),
        ("e2e x --dry-run", defaults(url="x", dry_run=True)),
        ("e2e --dry_run x", defaults(url="x", dry_run=True)),
        ("e2e \u2014dry-run x", defaults(url="x", dry_run=True)),
        ("e2e \u2013Dry-Run x", defaults(url="x", dry_run=True)),
        ('e2e "a b" branch="c d"', defaults(url="a b", branch="c d")),
        ("e2e \u201ca b\u201d branch=\u2018c d\u2019", defaults(url="a b", branch="c d")),
        ('e2e "branch=dev" "--dry-run"', defaults(url="branch=dev", branch="--dry-run")),
        ("e2e don't it\u2019s", defaults(url="don't", branch="it's")),
        ('e2e "a"b c"d', defaults(url="ab", branch='c"d')),
        ('e2e "" branch=""', defaults(url="", branch="")),
        ("e2e -- -x", defaults(url="--", branch="-x")),
        ("e2e <https://x.example/?a=1&amp;b=2>", defaults(url="https://x.example/?a=1&b=2")),
        ("e2e <http://x.example|x.example>", defaults(url="http://x.example")),
        ("e2e <https://x.example|two words> dev", defaults(url="https://x.example", branch="dev")),
        ("e2e url=<https://x.example>", defaults(url="https://x.example")),
        ("e2e https://x.example/?a=1&amp;b=2", defaults(url="https://x.example/?a=1&b=2")),
        ("e2e <@U1|ann> <#C1|general>", defaults(url="U1", branch="C1")),
        ("e2e <@U1> <#C1|>", defaults(url="U1", branch="C1")),
        ("e2e <!here> <!subteam^S1|@qa>", defaults(url="here", branch="S1")),
        ("e2e <mailto:a@b.example|a@b.example> <tel:+41|+41>", defaults(url="a@b.example", branch="+41")),
        ('e2e "see <@U1|ann>"', defaults(url="see U1")),
        ("e2e &lt;@U1&gt; &amp;lt;", defaults(url="<@U1>", branch="&lt;")),
        ("e2e <x> a<", defaults(url="<x>", branch="a<")),
        ("e2e x --branch=dev", defaults(url="x", branch="dev")),
        ("e2e x \u2014branch=dev", defaults(url="x", branch="dev")),
        ("e2e x dry-run=yes", defaults(url="x", dry_run=True)),
        ("e2e x --dry-run=False", defaults(url="x", dry_run=False)),
        ("e2e x --no-dry-run", defaults(url="x", dry_run=False)),
        ("e2e x browser=Firefox", defaults(url="x", browser="firefox")),
        (r'e2e "say \"hi\"" \"b', defaults(url='say "hi"', branch='"b')),
        (r"e2e C:\temp\x 'C:\\dir\\'", defaults(url="C:\\temp\\x", branch="C:\\dir\\")),
        ("e2e \u201ea b\u201c", defaults(url="a b")),
    ],
)
def test_text_is_read_as_people_mean_it(text, expected):
    """Order, names, quotes, dashes and Slack's own references all end in plain arguments."""
    assert E2E.parse(text) == expected


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("e2e", "<url> is missing"),
        ("e2e branch=dev", "<url> is missing"),
        ("e2e a b chrome c d", "'d' is one too many; a value of several words goes into quotes"),
        ("e2e branch = dev", "there are spaces around a `=`; write name=value"),
        ("e2e a branch =dev", "there are spaces around a `=`; write name=value"),
        ("e2e a b crome", "browser is chrome or firefox, not 'crome'; did you mean chrome?"),
        ("e2e a browser=lynx", "browser is chrome or firefox, not 'lynx'"),
        ("e2e a brnach=dev", "there is no 'brnach' here; did you mean branch?"),
        ("e2e a zzz=dev", "there is no 'zzz' here"),
        ("e2e a branch=b branch=c", "branch is given twice"),
        ("e2e a --dry-run --dry-run", "dry_run is given twice"),
        ("e2e a --dry-rum", "there is no '--dry-rum' here; did you mean --dry_run?"),
        ("e2e a --branch", "--branch has no value; write branch=value"),
        ("e2e a --branch b", "--branch has no value; write branch=value"),
        ("e2e a --brnach=b", "there is no 'brnach' here; did you mean branch?"),
        ("e2e a dry-rum=true", "there is no 'dry_rum' here; did you mean dry_run?"),
        ("e2e a --dry-run=maybe", "dry_run is true or false, not 'maybe'"),
        ("e2e a --dry-run --no-dry-run", "dry_run is given twice"),
        ("e2e a branch=", "branch= has no value"),
        ('e2e "a', "a quote is opened but not closed"),
        ("e2e a 'b", "a quote is opened but not closed"),
        ('e2e a branch="b\\"', "a quote is opened but not closed"),
        (f"e2e a browser='{'x' * 90}\ny'", f"browser is chrome or firefox, not '{'x' * 59}…'"),
    ],
)
def test_wrong_use_says_what_is_wrong_and_what_was_expected(text, reason):
    """A wrong use of the right rule ends in one line with the reason and the usage."""
    with pytest.raises(UsageError) as caught:
        E2E.parse(text)
    stop = "" if reason.endswith("?") else "."
    assert str(caught.value) == f"{reason}{stop} Expected: {E2E.source}"


@pytest.mark.parametrize("text", ["", "help", "e2", "e2ex a", "deploy a", 'deploy "a', "<@U1> e2e"])
def test_other_words_are_not_for_this_rule(text):
    """Text that begins with other words is a mismatch, whatever follows."""
    with pytest.raises(UsageMismatch, match="does not begin with: e2e"):
        E2E.parse(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ask ann why not", {"who": "ann", "question": "why not"}),
        (
            'ask ann model=large --loud what is "a  b"=c\n --loud model=x ',
            {"who": "ann", "model": "large", "loud": True, "question": 'what is "a  b"=c\n --loud model=x'},
        ),
        ("ask who=ann a=1 is it", {"who": "ann", "question": "a=1 is it"}),
        ("ask ann --zzz it", {"who": "ann", "question": "--zzz it"}),
        ("ask ann \u201cwhy not\u201d", {"who": "ann", "question": "why not"}),
        ('ask ann "why" or "not"', {"who": "ann", "question": '"why" or "not"'}),
        ("ask ann 'tis \u201cso", {"who": "ann", "question": "'tis \"so"}),
        ("ask ann see <https://x.example|x> &amp; <@U1|bob>", {"who": "ann", "question": "see https://x.example & U1"}),
    ],
)
def test_the_rest_is_all_the_text_there_is(text, expected):
    """Names and flags count in front of the rest only; from its first word on everything is its text, as typed."""
    assert ASK.parse(text) == {"model": "small", "loud": False} | expected


def test_a_rest_may_be_left_out():
    """In brackets it is as optional as anything else."""
    note = Usage("close [why...]")
    assert note.parse("close") == {}
    assert note.parse("close  not  now ") == {"why": "not  now"}
    assert note.names == {"why"}


def test_a_choice_may_be_required():
    """Where no default would be safe, one of the choices has to be given."""
    deploy = Usage("deploy <env=staging|prod> [version]")
    assert deploy.parse("deploy PROD 1.2") == {"env": "prod", "version": "1.2"}
    assert deploy.parse("deploy 1.2 env=staging") == {"env": "staging", "version": "1.2"}
    with pytest.raises(UsageError, match="env is staging or prod, not 'prd'; did you mean prod"):
        deploy.parse("deploy prd")
    with pytest.raises(UsageError, match=r"<env=staging\|prod> is missing"):
        deploy.parse("deploy")
    assert Usage("x <a=On|on>").parse("x on") == {"a": "on"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("e3e https://x", "there is no 'e3e' here; did you mean e2e?"),
        ("deploy nwo x", "there is no 'deploy' here; did you mean deploy now?"),
        ("deplyo now", "there is no 'deplyo' here; did you mean deploy now?"),
        ("zzz", "there is no 'zzz' here; there is: deploy now, e2e"),
        ('"a\nb', "there is no 'a b' here; there is: deploy now, e2e"),
    ],
)
def test_other_words_are_told_with_the_nearest(text, said):
    """Somebody who mistypes the first words hears which ones there are."""
    assert other_words([E2E, Usage("deploy now <env>"), E2E], text) == said


def test_a_misspelt_name_in_front_of_the_rest_is_no_text():
    """What is nearly a name is asked about, rather than sent as text."""
    with pytest.raises(UsageError, match="did you mean model"):
        ASK.parse("ask ann modle=large why")
    with pytest.raises(UsageError, match=r"<question\.\.\.> is missing"):
        ASK.parse("ask ann")
    with pytest.raises(UsageError, match="'ann' is one too many"):
        ASK.parse("ask ann who=bob why")


def test_a_line_may_be_empty_or_have_no_words():
    """A command without words or arguments takes an empty text and nothing else."""
    assert Usage("").parse("  ") == {}
    assert Usage("[env]").parse("") == {}
    with pytest.raises(UsageError, match="Expected: nothing after the command"):
        Usage("").parse("x")


def test_a_line_tells_its_words_names_and_help():
    """Rules and help read a line's parts from it, spaces made even."""
    usage = Usage("deploy  now <url>\n[--dry-run] ")
    assert usage.words == ("deploy", "now")
    assert usage.names == {"url", "dry_run"}
    assert usage.help_line("/genesis") == "/genesis deploy now <url> [--dry-run]"
    assert Usage("").help_line("/genesis") == "/genesis"
    assert repr(Usage("a")) == "Usage('a')"


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("e2e <url", "not an argument"),
        ("e2e <two words>", "not an argument"),
        ("e2e <url=x>", "has a default, so it is not required: write"),
        ("e2e <url=a|a>", "the same one twice"),
        ("e2e <url=>", "empty value"),
        ("e2e [a...] [b]", "must be the last"),
        ("e2e [1x]", "not an argument"),
        ("e2e <url> now", "words come first"),
        ("e2e! <url>", "neither a word nor an argument"),
        ("e2e [a=]", "empty value"),
        ("e2e [a=b|]", "empty value"),
        ("e2e [a=b|b]", "the same one twice"),
        ("e2e <url> [URL=x]", "name of another argument"),
        ("e2e <dry_run> [--dry-run]", "name of another argument"),
        ("e2e <a...> <b>", "must be the last"),
        ("e2e <a...> [--b]", "must be the last"),
        ("e2e [a] <b>", "come before"),
    ],
)
def test_a_bad_line_is_refused_at_load(line, reason):
    """A usage line that cannot work says so when it is loaded."""
    with pytest.raises(ValueError, match=reason):
        Usage.decode(line)


def test_a_line_is_text():
    """A usage line is decoded from text only, and its schema says so."""
    assert Usage.decode("e2e").source == "e2e"
    assert Usage.schema()["type"] == "string"
    for example in Usage.schema()["examples"]:
        Usage.decode(example)
    with pytest.raises(ValueError, match="a usage line is text"):
        Usage.decode(3)


TYPED = st.text() | st.lists(
    st.sampled_from(
        [
            "e2e ",
            "ask ",
            "ann ",
            "url=",
            "branch=",
            "--dry-run ",
            "\u2014",
            '"',
            "'",
            "\u201c",
            "<@U1|",
            ">",
            "<",
            "&amp;",
        ]
    )
    | st.text(max_size=4)
).map("".join)


@given(TYPED, st.sampled_from([E2E, ASK, Usage(""), Usage("<all...>")]))
def test_any_text_ends_in_arguments_or_a_named_error(text, usage):
    """Parsing is total: arguments of the declared names, a mismatch, or one line for the person."""
    try:
        args = usage.parse(text)
    except UsageMismatch:
        return
    except UsageError as caught:
        error = caught
    else:
        assert args.keys() <= usage.names
        assert all(isinstance(value, (str, bool)) for value in args.values())
        return
    assert len(str(error).splitlines()) == 1


HOSTILE = ["<", '"', "'", "\\", '"\\', "<@U|", "a=", "-- ", "&amp;", "<a:b|x ", '"a ', '--a="\\" ', "\u201c a", "x"]


@pytest.mark.parametrize("piece", HOSTILE)
def test_the_time_grows_with_the_text(piece):
    """Sixteen times the text takes about 16 times as long, whatever it is made of: quadratic would be 256 times."""

    def seconds(characters):
        text = f"ask ann {piece * (characters // len(piece))}"
        runs = []
        for _ in range(5):
            began = time.thread_time()
            with contextlib.suppress(UsageError):
                ASK.parse(text)
            list(words(text))
            free_text(text)
            runs.append(time.thread_time() - began)
        return min(runs)

    assert seconds(64_000) < 5 * 16 * seconds(4_000)


@given(TYPED)
def test_words_cover_what_was_typed(text):
    """Every word begins where the one before it ended, or later, and nothing but spaces lies between them."""
    at = 0
    for word in words(text):
        assert not text[at : word.start].strip()
        assert word.start < word.end
        at = word.end
    assert not text[at:].strip()


@given(st.text())
def test_any_line_loads_or_is_refused(line):
    """Reading a usage line ends in a Usage or a ValueError; what loads, loads again from its own source."""
    try:
        usage = Usage.decode(line)
    except ValueError:
        return
    assert Usage(usage.source).arguments == usage.arguments
