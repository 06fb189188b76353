"""Sites, and who may do what on them: pure values."""
