"""One module for each revision. There is no way down: to go back, restore a copy of the database."""
