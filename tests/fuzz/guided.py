"""Let coverage guide the inputs: `python -m tests.fuzz.guided TARGET [-max_total_time=SECONDS]`.

Needs `pip install atheris`, which has few wheels, so it is no dependency. What it finds goes into a test; its other
options are libFuzzer's (https://llvm.org/docs/LibFuzzer.html#options).
"""

import sys

import atheris

with atheris.instrument_imports(include=["bridge"]):
    from tests.fuzz.targets import PURE


def main() -> None:
    """Run one target until it fails or the time is up."""
    name, *options = sys.argv[1:] or ["-"]
    if name not in PURE:
        sys.exit(f"name one of {', '.join(PURE)}")
    check, _ = PURE[name]
    atheris.Setup([sys.argv[0], *options], check)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
