"""The standalone service: it answers the question of a reverse proxy, who is this?"""
