"""The focal length that a photograph's EXIF data tell."""

from PIL import Image

_EXIF = 0x8769  # the directory of the camera's settings
_WIDTH, _HEIGHT, _ZOOM, _FILM = 0xA002, 0xA003, 0xA404, 0xA405
_SAME_SHAPE = 0.02


def film_focal(exif: Image.Exif, width: int, height: int) -> float | None:
    """Millimetres on 35 mm film (FocalLengthIn35mmFilm) with the same diagonal field of view.

    Args:
        width, height: of the pixels as stored.

    Returns:
        None where there is none, or where it is not this image's: another shape than the camera wrote
        (cropped since), or enlarged by the camera (DigitalZoomRatio).
    """
    try:
        tags = exif.get_ifd(_EXIF)
        millimetres = float(tags.get(_FILM, 0))
        zoom = float(tags.get(_ZOOM, 1) or 1)
        shot = float(tags.get(_WIDTH, width)), float(tags.get(_HEIGHT, height))
    except Exception:  # damaged metadata: the pixels are sound
        return None
    if not 1 <= millimetres <= 2000 or zoom > 1.01 or min(shot) <= 0:
        return None
    change = (max(shot) / min(shot)) / (max(width, height) / min(width, height))
    return millimetres if abs(change - 1) <= _SAME_SHAPE else None
