"""Depth and camera motion from video, without labels."""
