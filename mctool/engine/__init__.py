"""What needs nets, tree and focus together: gists, windows, likelihoods, the refocus loop, answers."""
