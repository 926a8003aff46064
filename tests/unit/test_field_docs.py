"""What stands below a field is what it means."""

from msgspec import Struct

from bridge.field_docs import field_docs


class Base(Struct):
    """A record."""

    first: int
    """Inherited."""
    second: int = 1
    """Overridden."""


class Derived(Base):
    second: int = 2
    """Its own
    words, on two lines.

    And more, for readers of the source.
    """
    third: int = 3
    fourth: int = 4
    """Last."""

    def method(self) -> None:
        """Do nothing."""


def test_each_field_has_its_first_paragraph_on_one_line():
    """Inherited ones too; a field without one is left out, and so is what belongs to no field."""
    assert field_docs(Derived) == {
        "first": "Inherited.",
        "second": "Its own words, on two lines.",
        "fourth": "Last.",
    }
