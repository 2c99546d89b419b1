"""A run as one HTML page that opens anywhere, offline."""
