"""Pages that need nothing but themselves: their templates, style and scripts."""
