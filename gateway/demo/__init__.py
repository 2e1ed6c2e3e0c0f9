"""The demonstration: a hospital in a box, and the main job played end to end."""
