"""Ways by which records enter the store; all go through one door."""
