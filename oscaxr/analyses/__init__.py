"""The analyses of the papers: sessions in, small labelled arrays out."""
