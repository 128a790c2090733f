"""From attempts and verdicts to batches."""
