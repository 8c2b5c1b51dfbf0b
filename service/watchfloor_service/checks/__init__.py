"""What `watchfloor doctor` looks at."""
