"""Neural nets: the frozen base model and its tokenizer, GistNet, and where their weights come from."""
