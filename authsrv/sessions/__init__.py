"""Who is logged in, told by sealed cookies and signed tokens: bytes and values, without a clock."""
