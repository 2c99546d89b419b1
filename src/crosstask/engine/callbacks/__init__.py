"""What happens around training: checkpoints, curves, panels and the progress bar."""
