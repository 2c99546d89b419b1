"""Networks beside the main one: camera motion, domain discriminators."""
