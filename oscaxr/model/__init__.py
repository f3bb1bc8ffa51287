"""What a session is: names, attributes, schema, definitions, validation. Knows no files."""
