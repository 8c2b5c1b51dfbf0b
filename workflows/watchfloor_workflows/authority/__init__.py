"""The authority plane over the store: what is proposed, who agreed, what was granted, done and held."""
