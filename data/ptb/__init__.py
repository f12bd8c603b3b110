"""Penn Treebank in Mikolov's preparation: `source` finds and verifies it, the builder is TFDS's."""
