"""Reports as HTML files that need nothing beside them: what they share."""
