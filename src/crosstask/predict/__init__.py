"""From a trained model and files to named quantities with units."""
