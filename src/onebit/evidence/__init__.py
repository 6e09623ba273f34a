"""Measurements: the demo, the speed of the engine; and the page about them."""
