"""Detection: Sigma rules over the events of log files, which gives alerts."""
