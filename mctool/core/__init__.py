"""What every floor shares: errors, configuration, records, and block arithmetic."""
