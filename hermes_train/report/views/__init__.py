"""What each section of the page says, worked out from the run: pure functions from records to view models."""
