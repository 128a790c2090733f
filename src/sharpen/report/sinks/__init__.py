"""Other trackers that may be told of a run: one file each, found by name. Off unless asked for."""
