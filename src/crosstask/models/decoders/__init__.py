"""Decoders: from encoder features to the maps of one task."""
