"""From what annotation tools write to the folder format: `crosstask data prepare coco | cvat | labelme | labelstudio`."""
