"""From an experiment to a finished run directory; Lightning's Trainer does the loop."""
