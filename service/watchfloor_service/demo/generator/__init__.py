"""Writes the demonstration scenario anew from its seed; nothing in it comes from a real organisation."""
