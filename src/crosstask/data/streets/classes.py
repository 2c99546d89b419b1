"""The classes of the procedural streets: names shared with Cityscapes and CamVid, Cityscapes' colours."""

from enum import IntEnum

from crosstask.tasks.classes import ClassTable


class Street(IntEnum):
    """Index of each class in `STREET_CLASSES`."""

    ROAD = 0
    SIDEWALK = 1
    BUILDING = 2
    FENCE = 3
    POLE = 4
    SIGN = 5
    TREE = 6
    TERRAIN = 7
    SKY = 8
    PEDESTRIAN = 9
    BICYCLIST = 10
    CAR = 11
    TRUCK = 12
    LANE_MARKING = 13


STREET_CLASSES = ClassTable(
    names=tuple(member.name.lower() for member in Street),
    colors=(
        (128, 64, 128),
        (244, 35, 232),
        (70, 70, 70),
        (190, 153, 153),
        (153, 153, 153),
        (220, 220, 0),
        (107, 142, 35),
        (152, 251, 152),
        (70, 130, 180),
        (220, 20, 60),
        (255, 0, 0),
        (0, 0, 142),
        (0, 60, 100),
        (255, 255, 255),
    ),
)
