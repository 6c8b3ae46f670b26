"""What the commands of `publisher` do; `cli` says what can be asked for."""
