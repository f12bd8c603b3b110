"""WikiText-2: `source` finds and verifies it, the builder is TFDS's."""
