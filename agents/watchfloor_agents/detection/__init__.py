"""Agents of the function threat_detection."""
