"""Body models: files in the smplx package's layout, read safely; posing in numpy and torch; the open body's builder."""
