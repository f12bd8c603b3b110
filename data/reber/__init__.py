"""The embedded Reber grammar, of which random strings are drawn."""
