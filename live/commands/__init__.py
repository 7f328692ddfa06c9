"""The command line's verbs: each parses its options, calls one function and prints what it found."""

__all__: list[str] = []
