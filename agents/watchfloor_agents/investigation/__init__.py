"""Investigation: from an incident to a report whose every claim cites evidence."""
