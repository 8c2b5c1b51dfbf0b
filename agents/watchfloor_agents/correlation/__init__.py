"""Correlation: alerts become observations, observations become incidents, in the order of event time."""
