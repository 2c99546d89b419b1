"""Models outside training: export, faster inference, benchmarks."""
