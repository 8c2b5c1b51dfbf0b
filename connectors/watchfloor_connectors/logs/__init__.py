"""Log sources: telemetry in files beside us, and in the systems that keep it."""
