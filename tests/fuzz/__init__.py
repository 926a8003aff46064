"""Hostile inputs by the hundred thousand: `python -m tests.fuzz --inputs N --seed S`."""
