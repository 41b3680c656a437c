"""Making the nets: data, losses, loops."""
