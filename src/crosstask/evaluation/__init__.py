"""Scoring: a network over a dataset, trivial predictors, scores by dataset."""
