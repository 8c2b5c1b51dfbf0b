"""CACAO v2 playbooks."""
