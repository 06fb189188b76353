"""The standalone auth service: it answers a reverse proxy's question "who is this?"."""
"""The standalone service: it answers the question of a reverse proxy, who is this?"""
