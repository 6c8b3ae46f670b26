"""The peers that run beside ours in each benchmark."""
