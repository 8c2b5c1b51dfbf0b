"""What to do about an incident: proposals, as data. Nothing here executes anything."""
