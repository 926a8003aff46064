"""Other tools' rules into ours: one module per format, text in, a draft of a configuration out. Pure.

What cannot be carried over is said line by line, and a condition that cannot be translated becomes `false`: a
rule that is not understood never runs, rather than too often.
"""

from collections.abc import Callable

from bridge.importers import adnanh, gwt, tekton
from bridge.importers.draft import Draft

FORMATS: dict[str, Callable[[bytes, str], Draft]] = {
    "adnanh": adnanh.convert,
    "gwt": gwt.convert,
    "tekton": tekton.convert,
}
