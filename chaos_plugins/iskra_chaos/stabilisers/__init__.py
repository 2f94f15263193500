"""What calms a conversation down: stabilisers, each with a lease, each of which can be taken back."""
