"""Many runs in one table: which figure ranks them, averages, and whether a lead is noise."""
