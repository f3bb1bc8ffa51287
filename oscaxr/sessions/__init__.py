"""The session table, finding, opening and going through sessions."""
