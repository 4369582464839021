"""Drills on a cluster of Vagrant's machines: see ../drill."""
