"""Runs of playbooks: what the store keeps of them, and one transaction for each turn of the machine."""
