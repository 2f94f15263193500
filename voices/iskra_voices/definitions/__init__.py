"""One module per voice: its manner, its demands, and how each is checked."""
