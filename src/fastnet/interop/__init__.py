"""Models in and out: what other libraries and languages wrote, and what they can run."""
