"""Telemetry to investigate in: events with one vocabulary, what can be asked of them, and who answers."""
