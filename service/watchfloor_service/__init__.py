"""API, console and command line: start, answer, read; no decisions."""
