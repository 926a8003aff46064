"""Pin what the image installs: requirements.txt from pyproject.toml, a hash for every wheel it may need.

Resolved once, then asked for on every Python and processor that the image may be built for; a wheel that is missing
on one of them is an error, for the image compiles nothing. The file names no index: that is the builder's business.
"""

import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path
from typing import Any

import msgspec

ROOT = Path(__file__).parents[1]
FILE = ROOT / "requirements.txt"
PYTHONS = ("3.11", "3.12", "3.13")
PROCESSORS = ("x86_64", "aarch64")
_GLIBC = ("manylinux_2_34", "manylinux_2_28", "manylinux_2_27", "manylinux_2_26", "manylinux_2_17", "manylinux2014")
_HEAD = """\
# What the image installs: pip install --require-hashes -r requirements.txt
# Made by `make lock` from pyproject.toml, for Python 3.11 to 3.13 on x86_64 and aarch64; do not edit.
"""


def resolved(requirements: list[str], *options: str) -> list[dict[str, Any]]:
    """Return what pip would install, as its report has it."""
    command = [sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed", "--quiet", "--report", "-"]
    command += ["--only-binary", ":all:", *options, *requirements]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE)  # noqa: S603 - our own requirements
    found: list[dict[str, Any]] = msgspec.json.decode(done.stdout)["install"]
    return found


def lines() -> list[str]:
    """Return one line for each package: its version and the hashes of its wheels."""
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    pins = [f"{one['metadata']['name']}=={one['metadata']['version']}" for one in resolved(wanted)]
    hashes: dict[str, set[str]] = {pin: set() for pin in pins}
    with tempfile.TemporaryDirectory() as directory:
        for python in PYTHONS:
            for processor in PROCESSORS:
                place = ["--target", directory, "--python-version", python, "--implementation", "cp", "--no-deps"]
                for glibc in _GLIBC:
                    place += ["--platform", f"{glibc}_{processor}"]
                for one in resolved(pins, *place):
                    pin = f"{one['metadata']['name']}=={one['metadata']['version']}"
                    hashes[pin].add(one["download_info"]["archive_info"]["hashes"]["sha256"])
    return [
        " \\\n    ".join([pin.lower(), *(f"--hash=sha256:{digest}" for digest in sorted(found))])
        for pin, found in sorted(hashes.items(), key=lambda item: item[0].lower())
    ]


if __name__ == "__main__":
    FILE.write_text(_HEAD + "\n".join(lines()) + "\n")
