"""How many components the data support."""
