"""The prompts, each a file with name, version and text."""
