"""Does a network still do what its baseline did? Baseline file, paired statistics, verdict, and its outputs."""
