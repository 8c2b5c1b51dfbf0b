"""Investigations made durable: what was asked and found is in the store, and the order of things in a workflow."""
