"""Encoders: timm networks with their taps, channels and strides."""
