"""Incidents and their traces as people and programs read them."""
