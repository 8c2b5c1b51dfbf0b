"""Research by a language model where the specialist leaves a case open: read-only, budgeted, and never an authority.

Only the modules `agent`, `chain`, `providers`, `metered`, `guard`, `tools` and `engine` need pydantic-ai, which is an
extra: ask `watchfloor_agents.generative.extra.load_research` for the engine.
"""
