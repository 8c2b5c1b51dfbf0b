"""Triage, investigation and response agents."""
