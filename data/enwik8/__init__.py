"""enwik8, a hundred million bytes of Wikipedia: `source` finds and verifies it, the builder is TFDS's."""
