"""Cells around cells: noise, attention, structure, state."""
