"""Keys of this installation, each in a file that only its owner can read."""
