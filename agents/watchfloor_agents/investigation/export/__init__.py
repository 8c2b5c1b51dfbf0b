"""A report for others: JSON that is read again, Markdown for people, STIX 2.1 for programs."""
