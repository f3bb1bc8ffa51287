"""The figures of the papers: every data panel of both, from the sessions at hand."""
