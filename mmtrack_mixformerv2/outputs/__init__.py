"""What is kept of a track: boxes, tables and JSON, and a video with everything drawn; no torch."""
