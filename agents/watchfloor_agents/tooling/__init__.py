"""Reading tools of others, for models and agents: the protocol, and how one is called."""
