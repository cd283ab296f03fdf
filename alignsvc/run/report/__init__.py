"""What a run tells people: summaries, JSON, and the HTML page."""
