"""Honest timings: each module prints ratios against what a user would otherwise pick, measured in one run."""
