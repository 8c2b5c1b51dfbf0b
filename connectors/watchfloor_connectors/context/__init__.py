"""Sources of context: threat intelligence in files, and runbooks. What they read is named by ``context.yaml``."""
