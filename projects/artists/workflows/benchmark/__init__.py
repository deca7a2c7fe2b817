"""What the entry point benchmark measures: ratios within one run, which mean the same on any machine."""
