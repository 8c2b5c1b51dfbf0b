"""Detection and investigation over log files: from rules and logs to alerts, incidents and reports."""
