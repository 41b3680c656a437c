"""Records become Rich renderables: no printing, no reading of trees."""
