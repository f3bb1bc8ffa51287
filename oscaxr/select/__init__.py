"""Which data: segments by criteria, sequences around them, tracked ROIs. Knows no files."""
