"""How many classes a label map holds, in files and in samples, and which value is void."""

BYTE_CLASSES = 254  # up to here indices and void (255) are bytes; 254 marks unknown values
MOST_CLASSES = 65_534  # beyond, of 16 bits with void 65535


def void_label(classes: int) -> int:
    """Label of a pixel without a class: 255, or 65535 of more than 254 classes."""
    return 255 if classes <= BYTE_CLASSES else 65_535
