"""What matters of a session, a selection or sequences, at a glance: text and HTML."""
