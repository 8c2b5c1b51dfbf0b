"""Triage: is this incident an attack? Engines answer with a calibrated probability and every reason."""
