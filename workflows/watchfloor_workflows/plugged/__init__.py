"""Plug-ins in processes of their own: how they are started, spoken with and ended."""
