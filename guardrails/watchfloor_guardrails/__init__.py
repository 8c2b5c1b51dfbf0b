"""Autonomy levels and rulings: pure functions that decide whether an agent may act or a person must."""
