"""What may be said about any bytes at all, one function for each part that reads what strangers send."""

import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlencode

import httpx
import msgspec

from bridge import addresses, mrkdwn
from bridge.bodies import FORM, JSON, read_form, read_json, read_object
from bridge.config import load
from bridge.contracts import Reply, Request
from bridge.credentials import shown
from bridge.decision import decide
from bridge.errors import Malformed, Refusal
from bridge.model import Event
from bridge.scheme import PRESETS
from bridge.signatures import sign, verify
from bridge.sources.generic import Generic
from bridge.usage import Usage, UsageError, UsageMismatch

KEY = "0123456789abcdef0123456789abcdef"
WHSEC = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
SECRETS = {"KEY": KEY, "WHSEC": WHSEC}
CONFIG = load(Path(__file__).parent / "rules.yaml", SECRETS)
USAGES = [
    Usage.decode(text) for text in ("e2e <url> [b=x|y] [--dry-run] <rest...>", "run [a] [c=1] [--f]", "<rest...>")
]
GUARDS = [addresses.Guard(), addresses.Guard(allow_http=True, allow_hosts=("*.example.com",))]

Check = Callable[[bytes], None]
SAMPLES = Path(addresses.__file__).parent / "samples"
PUSH = {
    "ref": "refs/heads/main",
    "after": "6113728f27ae82c7b1a177c8d03f9e96e0adf246",
    "repository": {"full_name": "o/r", "owner": {"login": "o", "name": "o"}},
    "commits": [{"id": "1", "added": ["a.py"], "modified": [], "removed": ["b.py"]}],
    "head_commit": {"id": "1", "author": {"username": "u"}},
    "sender": {"login": "u"},
    "pull_request": {
        "number": 7,
        "head": {"ref": "f", "sha": "a", "repo": {"full_name": "f/r"}},
        "labels": [{"name": "l"}],
    },
}
OPEN = {
    "type": "run",
    "id": "evt_1",
    "a": "b c",
    "n": 1.5,
    "m": -2,
    "k": 3,
    "s": "aaaa/bbbb",
    "list": ["a", "b", ["c"], 1, None],
    "map": {"b": 1, "a": {"c": []}},
    "callback_url": "https://ci.example.com/x",
    "url": "https://example.com/",
}
COMMAND = (
    b"token=t&team_id=T1&channel_id=C1&channel_name=c&user_id=U1&user_name=u&command=%2Fgenesis&trigger_id=1.2.3"
    b"&text=e2e+https%3A%2F%2Fexample.com+b%3Dy+--dry-run+%22a+b%22&response_url=https%3A%2F%2Fhooks.slack.com%2Fc%2F1"
)
EVENT = (
    b'{"type": "event_callback", "event_id": "Ev1", "event": {"type": "app_mention", "text": "<@U1> hi"}, "token": "x"}'
)
MENTION = msgspec.json.encode(
    {
        "type": "event_callback",
        "event_id": "Ev2",
        "api_app_id": "A1",
        "authorizations": [{"user_id": "U0", "is_bot": True}],
        "event": {"type": "app_mention", "user": "U1", "channel": "C1", "ts": "1.2", "text": "<@U0> e2e <https://x|x>"},
    }
)
PRESS = {
    "type": "block_actions",
    "user": {"id": "U1", "username": "u"},
    "trigger_id": "1.2.3",
    "message": {"ts": "1.2"},
    "actions": [{"action_id": "gb:again", "value": "qa|x_1|1700000000|5f"}],
}
SHORTCUT = {
    "type": "message_action",
    "callback_id": "run",
    "action_ts": "1.2",
    "user": {"id": "U1"},
    "channel": {"id": "C1"},
    "message": {"text": "&lt;x&gt;", "ts": "1.2"},
    "response_url": "https://hooks.slack.com/app/T1/1/x",
}
BODIES = [
    (SAMPLES / "deployment_status.json").read_bytes(),
    (SAMPLES / "relay.json").read_bytes(),
    msgspec.json.encode(PUSH),
    msgspec.json.encode(OPEN),
    EVENT,
    MENTION,
    *(urlencode({"payload": msgspec.json.encode(one)}).encode() for one in (PRESS, SHORTCUT)),
    COMMAND,
    b"payload=%7B%22action%22%3A%22opened%22%2C%22issue%22%3A%7B%22number%22%3A1%7D%7D",
    b'{"type": "url_verification", "challenge": "c", "token": "x"}',
    b"ssl_check=1&token=x",
]
TEXTS = [
    b"e2e https://example.com b=y --dry-run \"a b\" 'c'",
    "e2e \u201chttps://example.com\u201d \u2018b\u2019=x <https://x.example|x> <@U1|me> <#C1|c>".encode(),
    b"run a c=2 --f --no-f a=b=c &amp;&lt;&gt; <!here>",
    b"help",
    b"",
]
URLS = [
    b"https://ci.example.com/hooks?x=1#y",
    b"https://user:secret@[2001:db8::1%25eth0]:8443/%2e%2e/a",
    b"http://127.0.0.1:80/",
    "https://b\u00fccher.example/\u00fc".encode(),
    b"https://a.example.com.:443/",
]
HEADS = [b"relay\ncontent-type: application/json", b"github\nx-github-event: push\nx-github-delivery: g-1"]
HEADS += [
    b"slack\ncontent-type: application/x-www-form-urlencoded",
    b"slack\ncontent-type: application/json",
    b"open\nidempotency-key: k\ncontent-type: " + FORM.encode(),
]
HEADS += [f"{name}\ncontent-type: {JSON}".encode() for name in ("stripe", "gitea", "token", "basic", "header")]
REQUESTS = [head + b"\n\n" + body for head in HEADS for body in BODIES]
SIGNATURES = [
    b"v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE= v1a,xx\n1614265330\nmsg_1",
    b"t=1700000000,v1=5257a869e7,v0=6ffbb59b\n1700000000\n",
    b"sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17\n\n",
    b"v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503\n1531420618\n",
    b"Basic bWU6MDEyMzQ1Njc4OWFiY2RlZg==\nBearer x\n",
]


def bodies(data: bytes) -> None:
    """JSON and forms become values or are malformed."""
    for reader in (read_json, read_object, read_form):
        try:
            value = reader(data)
        except Malformed as error:
            assert str(error)  # noqa: PT017 - it says what is wrong
        else:
            msgspec.json.encode(value)


def signatures(data: bytes) -> None:
    """Nothing that is not signed is believed, whatever stands in the headers; what is signed over it is."""
    lines = [*data.decode("latin-1").split("\n"), "", ""]
    for scheme in PRESETS.values():
        headers = {scheme.header: lines[0], scheme.timestamp or "": lines[1], scheme.id or "": lines[2]}
        assert verify(scheme, headers, data, [KEY.encode(), b""], time.time()) is None
    for name in ("relay", "stripe", "gitea", "token", "basic", "header"):
        names = ("authorization", "webhook-signature", "stripe-signature", "x-api-key", "webhook-timestamp")
        request = Request(headers=dict.fromkeys(names, lines[0]), query={}, body=data, now=1.7e9)
        assert not CONFIG.sources[name].verify(request)
    scheme = list(PRESETS.values())[len(data) % len(PRESETS)]
    made = sign(scheme, id=lines[2], timestamp=1_700_000_000, body=data, secrets=[KEY.encode()])
    assert verify(scheme, made, data, [KEY.encode()], 1_700_000_000) == 0


def proof(name: str, body: bytes, now: int) -> dict[str, str]:
    """Return the headers with which a source believes a request."""
    source = CONFIG.sources[name]
    if isinstance(source, Generic):
        made = source.signing().headers(body, SECRETS, now, "msg_1")
        return {header: value for header, value in made.items() if header != "idempotency-key"}
    return sign(PRESETS[name], id="g-1", timestamp=now, body=body, secrets=[KEY.encode()])


def parted(data: bytes) -> tuple[str, dict[str, str], bytes]:
    """Take an input apart: the source's name, headers, and the body behind an empty line."""
    head, _, body = data.partition(b"\n\n")
    name, *lines = head.decode("latin-1").split("\n")
    pairs = (line.partition(":")[::2] for line in lines)
    return name if name in CONFIG.sources else "open", {key.lower(): value.strip() for key, value in pairs}, body


def sources(data: bytes) -> None:
    """Read believed requests: each is an event, a reply or a refusal; events can be matched, stored and read again."""
    name, headers, body = parted(data)
    source = CONFIG.sources[name]
    request = Request(headers=headers | proof(name, body, 1_700_000_000), query={}, body=body, now=1_700_000_000)
    try:
        read = source.read(request)
    except Refusal as refusal:
        source.refuse(refusal, request)
        return
    if isinstance(read, Reply):
        assert read.status == 200
        return
    facts = {fact: shown(value) for fact, value in read.facts.items()}
    assert KEY not in msgspec.json.encode(msgspec.structs.replace(read, body=None, facts=facts)).decode()
    decision = decide(CONFIG, msgspec.structs.replace(read, source=name), "d_1")
    msgspec.json.encode([msgspec.to_builtins(result) for result in decision.results])
    kept = body if read.keep is None else read.keep
    again = source.parse(Request(headers=read.headers, query={}, body=kept, now=1_700_000_000))
    assert again.name == read.name


def rules(data: bytes) -> None:
    """Every rule comes to a verdict about any event."""
    try:
        body = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        text = data.decode("utf-8", "replace")
        body = {"s": text, "a": text, "list": text.split(), "n": len(text), "m": text, "k": 0}
    facts = body if isinstance(body, dict) else {}
    names = ("state", "environment", "url", "branch", "labels", "files")
    for source, event in (("open", "request"), ("github", "push"), ("relay", "run")):
        known = {name: facts[name] for name in names if name in facts}
        decision = decide(CONFIG, Event(source=source, name=event, body=body, facts=known), "d_1")
        assert {result.verdict for result in decision.results} <= {"match", "no_match", "error"}
        for record in decision.executions.values():
            assert all(isinstance(value, str) for value in record.variables.values())


def texts(data: bytes) -> None:
    """Slack's text is parsed or told to be wrong, and nothing that is shown can ping or disguise a link."""
    text = data.decode("utf-8", "replace")
    for limit in (None, 100):
        shown = mrkdwn.escape(text, limit)
        assert "<" not in shown
        assert ">" not in shown
        assert limit is None or len(shown) <= limit
    assert mrkdwn.unescape(mrkdwn.escape(text)) == text
    typed = mrkdwn.plain(mrkdwn.unescape(text))
    for usage in USAGES:
        try:
            found = usage.parse(typed)
        except (UsageMismatch, UsageError) as error:
            assert "\n" not in str(error)  # noqa: PT017 - one line for a person
        else:
            assert found.keys() <= usage.names


def urls(data: bytes) -> None:
    """Judge URLs: each is refused in words, or is one that the client under it can be given."""
    text = data.decode("utf-8", "replace")
    for guard in GUARDS:
        problem = guard.problem(text)
        if problem is None:
            parsed = addresses.parse(text)
            assert parsed.scheme in ("http", "https")
            assert not parsed.userinfo
            httpx.Request("POST", parsed)


PURE: dict[str, tuple[Check, list[bytes]]] = {
    "bodies": (bodies, BODIES),
    "signatures": (signatures, SIGNATURES),
    "sources": (sources, REQUESTS),
    "rules": (rules, [msgspec.json.encode(OPEN), msgspec.json.encode(PUSH), *TEXTS]),
    "texts": (texts, TEXTS),
    "urls": (urls, URLS),
}
