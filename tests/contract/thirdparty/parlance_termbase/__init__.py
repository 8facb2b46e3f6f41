"""A bilingual term base: the third-party plugin of the contract tests. It implements every hook."""
