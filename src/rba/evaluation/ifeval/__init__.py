"""IFEval (Zhou et al. 2023): whether an answer does what its prompt verifiably asks for."""
