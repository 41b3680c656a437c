"""The use cases ``evaluate``: measurements of the project, each beside its baselines in the same run."""
