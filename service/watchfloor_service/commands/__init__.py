"""The sub-commands of ``watchfloor``, one module a group."""
