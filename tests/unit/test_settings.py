"""The environment is read once, all its mistakes are told at once, and its secrets never."""

import time
from pathlib import Path

import msgspec
import pytest

from bridge.errors import SettingsError
from bridge.settings import Settings

LONG = "0123456789abcdef0123456789abcdef"


def problems(environ):
    """Return what is wrong with an environment."""
    with pytest.raises(SettingsError) as caught:
        Settings.load(environ)
    assert str(caught.value) == "\n".join(caught.value.problems)
    return caught.value.problems


def test_defaults_work_on_a_laptop():
    """Nothing set, and everybody else's variables, is the laptop: loopback, private store, no tokens."""
    settings = Settings.load({"PATH": "/bin", "NOT_BRIDGE_PORT": "x"})
    assert settings == Settings()
    assert (settings.config, settings.data_dir) == (Path("config/bridge.yaml"), Path(".bridge"))
    assert (settings.host, settings.port, settings.redis_url, settings.log) == ("127.0.0.1", 8080, None, None)


def test_reads_every_variable():
    """Each variable ends in its field, as the type it is used as."""
    settings = Settings.load(
        {
            "BRIDGE_CONFIG": "/etc/bridge.yaml",
            "BRIDGE_REDIS_URL": "rediss://u:p@r:6379/0",
            "BRIDGE_HOST": "0.0.0.0",  # noqa: S104 - what containers say
            "BRIDGE_API_RATE": "10/s",
            "BRIDGE_TRUSTED_PROXIES": "10.0.0.0/8, fd00::/8",
            "BRIDGE_PORT": "0",
            "BRIDGE_PUBLIC_URL": "https://b.example.com/sub/",
            "BRIDGE_DATA_DIR": "/data",
            "BRIDGE_API_TOKENS": f"{LONG}1, {LONG}2",
            "BRIDGE_READ_TOKENS": f"{LONG}3",
            "BRIDGE_LOG": "json",
        }
    )
    assert (settings.config, settings.data_dir) == (Path("/etc/bridge.yaml"), Path("/data"))
    assert (settings.redis_url.text(), settings.port) == ("rediss://u:p@r:6379/0", 0)
    assert (settings.public_url, settings.log) == ("https://b.example.com/sub", "json")
    assert list(settings.api_tokens) == [f"{LONG}1".encode(), f"{LONG}2".encode()]
    assert list(settings.read_tokens) == [f"{LONG}3".encode()]
    assert len(settings.read_tokens + settings.api_tokens) == 3
    assert (settings.api_rate.most, settings.api_rate.seconds) == (10, 1)
    assert [str(network) for network in settings.trusted_proxies] == ["10.0.0.0/8", "fd00::/8"]


@pytest.mark.parametrize("url", ["redis://r", "rediss://r", "unix:///run/redis", "sentinel://h1,h2/name"])
def test_takes_every_kind_of_redis_url(url):
    """Plain, TLS and socket addresses are taken as they are."""
    assert Settings.load({"BRIDGE_REDIS_URL": url}).redis_url.text() == url


def test_secrets_may_stand_in_files(tmp_path):
    """Every secret variable has a _FILE form, for mounted secrets."""
    for name, content in (("redis", "redis://:pw@r\n"), ("api", "one,two\n"), ("read", "three")):
        (tmp_path / name).write_text(content)
    settings = Settings.load(
        {
            "BRIDGE_REDIS_URL_FILE": str(tmp_path / "redis"),
            "BRIDGE_API_TOKENS_FILE": str(tmp_path / "api"),
            "BRIDGE_READ_TOKENS_FILE": str(tmp_path / "read"),
        }
    )
    assert settings.redis_url.text() == "redis://:pw@r"
    assert [*settings.api_tokens, *settings.read_tokens] == [b"one", b"two", b"three"]
    (tmp_path / "api").write_text("four")
    (tmp_path / "read").write_text("five,,")
    time.sleep(1.1)
    assert [*settings.api_tokens, *settings.read_tokens] == [b"four", b"three"], "what cannot be read is not taken"


def test_is_shown_without_secrets():
    """The repr says where things are, without password and tokens."""
    shown = repr(Settings.load({"BRIDGE_REDIS_URL": "redis://:pw@r", "BRIDGE_API_TOKENS": "token", "BRIDGE_PORT": "1"}))
    assert "port=1" in shown
    assert "pw" not in shown
    with pytest.raises(TypeError):
        msgspec.json.encode(Settings.load({"BRIDGE_REDIS_URL": "redis://:pw@r"}))
    assert "token" not in shown


@pytest.mark.parametrize(
    ("environ", "problem"),
    [
        ({"BRIDGE_PROT": "1"}, "unknown variable 'BRIDGE_PROT': did you mean 'BRIDGE_PORT'?"),
        ({"BRIDGE_PORT_FILE": "x"}, "unknown variable 'BRIDGE_PORT_FILE': did you mean 'BRIDGE_PORT'?"),
        ({"BRIDGE_PORT": "http"}, "BRIDGE_PORT: 'http' is not a port: write a number from 0 to 65535"),
        ({"BRIDGE_PORT": "65536"}, "BRIDGE_PORT: '65536' is not a port: write a number from 0 to 65535"),
        ({"BRIDGE_PORT": "٣"}, "BRIDGE_PORT: '٣' is not a port: write a number from 0 to 65535"),
        ({"BRIDGE_HOST": " "}, "BRIDGE_HOST: is empty: give it a value or leave it unset"),
        ({"BRIDGE_LOG": "yaml"}, "BRIDGE_LOG: 'yaml' is neither json nor console"),
        ({"BRIDGE_API_TOKENS": "a,,b"}, "BRIDGE_API_TOKENS: holds an empty token: separate tokens by single commas"),
        ({"BRIDGE_API_TOKENS": "schlüssel"}, "BRIDGE_API_TOKENS: holds a token with characters that a header cannot"),
        ({"BRIDGE_API_RATE": "many"}, "BRIDGE_API_RATE: 'many' is not a rate: write a number and a unit"),
        ({"BRIDGE_TRUSTED_PROXIES": "nginx"}, "BRIDGE_TRUSTED_PROXIES: 'nginx' does not appear to be an IPv4 or IPv6"),
        ({"BRIDGE_API_TOKENS": ""}, "BRIDGE_API_TOKENS: is empty: give it a value or leave it unset"),
        ({"BRIDGE_API_TOKENS_FILE": "/gone"}, "BRIDGE_API_TOKENS: the file /gone cannot be read: No such file or dir"),
    ],
)
def test_names_the_variable_that_is_wrong(environ, problem):
    """Each mistake is one line with the variable's name and what to write."""
    [found] = problems(environ)
    assert found.startswith(problem)


@pytest.mark.parametrize(
    "url", ["b.example.com", "ftp://b", "https://", "https://b/?x=1", "https://b/#x", "https://[b"]
)
def test_a_public_url_is_an_address(url):
    """What others cannot be sent to is no public address."""
    [found] = problems({"BRIDGE_PUBLIC_URL": url})
    assert found.startswith("BRIDGE_PUBLIC_URL: ")


@pytest.mark.parametrize("url", ["http://:hunter2@r", "hunter2", "redis", "redis:hunter2"])
def test_a_wrong_redis_url_is_not_repeated(url):
    """The message says what is wrong without the URL, which may hold a password."""
    [found] = problems({"BRIDGE_REDIS_URL": url})
    assert found == "BRIDGE_REDIS_URL: is not a URL that begins with redis://, rediss://, unix://, sentinel://"


def test_two_places_for_one_secret_are_one_too_many(tmp_path):
    """NAME and NAME_FILE together are refused: nobody could say which one holds."""
    [found] = problems({"BRIDGE_READ_TOKENS": "a", "BRIDGE_READ_TOKENS_FILE": str(tmp_path)})
    assert found == "BRIDGE_READ_TOKENS: BRIDGE_READ_TOKENS_FILE is set as well: set one of the two"


def test_what_kubernetes_adds_is_explained():
    """Variables of a Service named 'bridge' are refused with the pod setting that ends them."""
    found = problems(
        {
            "BRIDGE_PORT": "tcp://10.0.0.1:80",
            "BRIDGE_PORT_80_TCP": "tcp://10.0.0.1:80",
            "BRIDGE_SERVICE_HOST": "10.0.0.1",
        }
    )
    assert len(found) == 3
    assert all("enableServiceLinks: false" in problem for problem in found)


def test_tells_every_problem_at_once():
    """One run shows all that is wrong."""
    found = problems({"BRIDGE_LOG": "x", "BRIDGE_PORT": "x", "BRIDGE_NOPE": "x"})
    assert [problem.split(":")[0] for problem in found] == [
        "unknown variable 'BRIDGE_NOPE'",
        "BRIDGE_PORT",
        "BRIDGE_LOG",
    ]


@pytest.mark.parametrize(
    "where",
    [
        {"BRIDGE_HOST": "0.0.0.0"},  # noqa: S104 - what containers say
        {"BRIDGE_HOST": "bridge.internal"},
        {"BRIDGE_HOST": "::"},
        {"BRIDGE_PUBLIC_URL": "https://bridge.example.com"},
    ],
)
def test_tokens_that_could_be_guessed_are_refused_where_others_may_try(where):
    """Which of them, how long one must be and how to make one; the token itself is not shown."""
    tokens = {"BRIDGE_API_TOKENS": f"{LONG},hunter2", "BRIDGE_READ_TOKENS": "x" * 31}
    found = problems(where | tokens)
    assert [problem.partition(" is ")[0] for problem in found] == [
        "BRIDGE_API_TOKENS: token 2",
        "BRIDGE_READ_TOKENS: token 1",
    ]
    assert all("32 characters" in problem and "secrets.token_urlsafe(32)" in problem for problem in found)
    assert not any("hunter2" in problem for problem in found)


@pytest.mark.parametrize("where", [{}, {"BRIDGE_HOST": "::1"}, {"BRIDGE_PUBLIC_URL": "http://localhost:8080"}])
def test_a_laptop_may_have_short_tokens(where):
    """What only this machine reaches is developed with tokens that can be typed."""
    settings = Settings.load({"BRIDGE_API_TOKENS": "t", **where})
    assert settings.local
