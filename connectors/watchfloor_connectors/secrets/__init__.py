"""Secrets from where operators keep them: the source of a reference, and the stores that need a network."""
