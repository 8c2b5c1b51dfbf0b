"""Action targets: the tools that change the outside world, each with its state, its effect read back and its undo."""
