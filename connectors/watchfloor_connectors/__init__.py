"""Alert sources and action targets, one module each."""
