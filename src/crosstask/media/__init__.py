"""Files and images: reading, writing, colours."""
