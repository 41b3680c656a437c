"""Trained weights and their cards, one folder for each base model."""
