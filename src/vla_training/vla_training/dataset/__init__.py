"""The data set: its file, reading, windows and augmentation."""
