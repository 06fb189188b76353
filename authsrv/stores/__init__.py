"""What must be remembered beyond a request, and not be forgotten: one interface, its stores."""
