"""genesis-bridge: from an event to a workflow run, and back to whoever asked.

The story, in reading order: `app` receives a delivery, a source (`sources/`) verifies and reads it into an
event, `rules` matches it, and `pipeline.accept` stores it with everything it will cause - all in one step,
before anyone is told yes. A worker then claims each execution from the `store`, starts it on its engine
(`engines/`), polls it to its end and reports through the notifiers (`notifiers/`). `config` says what,
`settings` says where.
"""

__version__ = "0.1.0"
