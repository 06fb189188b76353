"""What people see: pages, texts, style and logo."""
