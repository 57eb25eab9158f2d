"""Whole journeys, as people and operators see them: simulated Discord, real sockets, processes, the page."""
