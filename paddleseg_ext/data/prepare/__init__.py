"""From what people and publishers have to what this package reads: checked pairs, masks, lists, a configuration."""
