"""Timings in one run: `make bench` compares each task with what a user would otherwise pick."""
