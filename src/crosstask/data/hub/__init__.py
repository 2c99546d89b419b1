"""Data sets of the library `datasets`, row by row, as the files that the reader of folders reads."""
