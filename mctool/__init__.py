"""mctool: answers questions about documents far longer than any model's window."""
