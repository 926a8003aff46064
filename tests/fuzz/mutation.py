"""Hostile bytes out of honest ones, the same for the same seed."""

import random

MAX_BYTES = 65_536
"""Inputs end here: larger bodies are read beside the loop, and tests/bench/clients.py measures those."""

PIECES = [
    b"",
    b"\x00",
    b"\xff\xfe",
    b"\xef\xbb\xbf",
    b"\xed\xa0\x80",
    b"\\ud800",
    b"\\u0000",
    b"\r\n",
    b"\r\nx-injected: 1\r\n\r\n",
    b"\n\n",
    b" ",
    b"\t",
    b"\xc2\xa0",
    b"\xe2\x80\x9c",
    b"\xe2\x80\xae",
    b"%00",
    b"%ff",
    b"%",
    b"+",
    b"&",
    b"&amp;lt;",
    b"<!channel>",
    b"<@U1|name>",
    b"<https://evil.example|https://good.example>",
    b"`" * 3,
    b'"',
    b"'",
    b"\\",
    b"{}",
    b"[]",
    b"null",
    b"true",
    b"NaN",
    b"-0",
    b"1e999999",
    b"1e-999999",
    b"9" * 400,
    b"9" * 5000,
    b"0.1",
    b"-1",
    b"9007199254740993",
    b"[" * 99 + b"]" * 99,
    b"[" * 3000,
    b'{"a":' * 99 + b"1" + b"}" * 99,
    b"a" * 5000,
    b"a/" * 2000,
    b"${{ body }}",
    b"{{ 7*7 }}",
    b"{% for x in range(9999999) %}x{% endfor %}",
    b"__class__",
    b"__proto__",
    b"%999999999s",
    b"../../etc/passwd",
    b"http://169.254.169.254/",
    b"http://[::ffff:127.0.0.1]:80/",
    b"https://user:pass@x\\@y/",
    b"http://2130706433/",
    b"http://0x7f.1/",
    b"https://xn--/",
    b"https://\xef\xbc\x91\xef\xbc\x92\xef\xbc\x97.0.0.1/",
    b"v1,",
    b"sha256=",
    b"t=1,v1=",
    b"Basic ",
    b"1700000000",
    b"--dry-run",
    b"url=",
    b"chunked",
    b"content-length: 5",
    b"transfer-encoding: chunked",
]


class Mutator:
    """Makes inputs from a corpus."""

    def __init__(self, seed: int) -> None:
        """Start from a seed."""
        self._random = random.Random(seed)  # noqa: S311 - repeatable, nothing secret

    def mutated(self, corpus: list[bytes]) -> bytes:
        """Return one of the corpus, changed in one to six places."""
        data = bytearray(self._random.choice(corpus))
        for _ in range(self._random.choice((0, 1, 1, 2, 3, 6))):
            self._change(data, corpus)
        return bytes(data[:MAX_BYTES])

    def _change(self, data: bytearray, corpus: list[bytes]) -> None:
        draw = self._random
        at = draw.randint(0, len(data))
        to = min(len(data), at + draw.choice((1, 1, 2, 8, 64)))
        kind = draw.randrange(8)
        if kind == 0 and at < len(data):
            data[at] = draw.randrange(256)
        elif kind == 1:
            del data[at:to]
        elif kind == 2:
            data[at:at] = data[at:to] * draw.choice((1, 2, 50))
        elif kind == 3:
            del data[at:]
        elif kind == 4:
            other = draw.choice(corpus)
            data[at:to] = other[draw.randint(0, len(other)) :][: draw.choice((4, 40, 4000))]
        elif kind == 5:
            data[at:at] = draw.randbytes(draw.choice((1, 4, 40)))
        else:
            data[at : to if kind == 6 else at] = draw.choice(PIECES)
