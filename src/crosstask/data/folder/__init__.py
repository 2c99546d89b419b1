"""How the files of a folder of one's own are read: one file a kind of file."""
