"""What an experiment file says, and what it may ask for."""
