"""Tokens: who calls, for which tenant, and what the caller may do."""
