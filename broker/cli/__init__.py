"""The command line: Typer for the words, Rich for the eyes. Errors on stderr, exit codes that scripts can rely on.

Nothing is decided here: a command opens what `broker.main` wires and shows what comes of it.
"""
