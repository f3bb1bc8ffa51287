"""How data leave for other tools: hierarchical frames, pynapple, numpy, tables."""
