"""How fast a tracker runs, frame by frame, on every backend."""
