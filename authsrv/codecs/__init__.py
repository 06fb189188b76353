"""Pure bytes: what tokens are made of, and what they show without a key."""
