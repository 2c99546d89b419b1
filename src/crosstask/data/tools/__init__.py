"""What looks at datasets: check, inspection, preview, preparation."""
