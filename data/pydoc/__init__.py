"""The language reference that every CPython ships, prepared like Penn Treebank."""
