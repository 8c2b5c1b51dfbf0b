"""The embedded stack: parts, the supervisor that keeps them running, and how others find it."""
