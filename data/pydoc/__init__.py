"""The documentation that every CPython ships, prepared like Penn Treebank."""
