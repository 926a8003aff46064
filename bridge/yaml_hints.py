"""Say what is wrong with text that is no YAML as its writer would: where it begins, and what to do. Pure.

The parser stops where it can go on no longer, which is often a line or more after the mistake.
"""

import yaml


def explained(error: yaml.MarkedYAMLError, text: str) -> tuple[int, int, str]:
    """Return line and column, counted from 1, and the message for what the parser could not read."""
    lines, problem = text.splitlines(), str(error.problem)
    line, column = _counted(error.problem_mark)
    begun = _counted(error.context_mark)
    if problem == "could not find expected ':'":
        (line, column), hint = begun, "a key ends with a colon and a space"
    elif problem == "found unexpected end of stream":
        (line, column), hint = begun, "the quote that opens here is never closed"
    elif cut := _comment_in_brackets(lines, begun[0], line):
        (line, column), hint = cut, "a comment begins inside { } or [ ]: if it is text, put it into quotes"
    elif "flow" in str(error.context) and (begun[0] < line or line > len(lines)):
        where = f"in line {begun[0]}" if begun[0] < line else "above"
        hint = f"a bracket that opens {where} is not closed"
    else:
        hint = _hint(problem, _line(lines, line), column)
    for number in (line, line - 1):
        if "\N{NO-BREAK SPACE}" in _line(lines, number):
            line, column = number, _line(lines, number).index("\N{NO-BREAK SPACE}") + 1
            hint = "a no-break space (U+00A0) looks like a space and is none: replace it by one"
    return line, column, f"{problem}: {hint}" if hint else problem


def _counted(mark: yaml.Mark | None) -> tuple[int, int]:
    return (mark.line + 1, mark.column + 1) if mark else (1, 1)


def _line(lines: list[str], number: int) -> str:
    return "".join(lines[max(number - 1, 0) : number])


def _comment_in_brackets(lines: list[str], first: int, last: int) -> tuple[int, int] | None:
    """Return where, in these lines, a comment cuts off what brackets opened before it on the same line."""
    for number in range(min(first, last - 1), last + 1):
        line = _line(lines, number)
        comment = line.find(" #") + 1
        before = line[:comment]
        if before.count("{") + before.count("[") > before.count("}") + before.count("]"):
            return number, comment + 1
    return None


def _hint(problem: str, line: str, column: int) -> str:
    if "\t" in line[:column]:
        return "YAML does not indent with tabs, use spaces"
    if "escape" in problem:
        return "in double quotes a backslash begins an escape, use single quotes"
    if "${{" in line:
        return "inside { } and [ ] put text with ${{ }} into quotes"
    if line.strip() and not line[: column - 1].strip():
        quotable = line.lstrip()[0] in "@`%"
        return "put the whole value into quotes" if quotable else "its indentation does not fit the lines above"
    if problem.startswith("mapping values") and f"{line} ".count(": ") == 1:
        return "it is indented deeper than the line above, which has a value already"
    return "put the whole value into quotes" if "'" in line or '"' in line or ": " in line else ""
