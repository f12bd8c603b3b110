"""MNIST from a folder of its IDX files; `source` reads them."""
