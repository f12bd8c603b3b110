"""text8, a hundred million letters of Wikipedia: `source` finds and verifies it, the builder is TFDS's."""
