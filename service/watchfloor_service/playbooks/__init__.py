"""Playbooks as people and programs see them: what may be run, what runs, and what it waits for."""
