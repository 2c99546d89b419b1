"""Whole networks, one kind a file: `SceneNetwork` is what they share, `Network` the usual one."""
