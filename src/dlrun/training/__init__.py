"""The one trainer and what it uses: early stopping, checkpoints, schedules, loggers."""
