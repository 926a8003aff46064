"""The world outside as real servers: small ASGI apps of the documented contracts, with every fault a test may ask for.

Each emulator is an ASGI app that `bridge.emulators.serving.Server` puts on a socket. All of them keep a `journal` of
what arrived, written before the answer leaves, and are steered either in Python or over HTTP under `/_emulator/`.
They import nothing of the rest of `bridge`: a mistake in the product cannot hide behind the same mistake in its
emulator.
"""
