"""The documents: the tables of reference that are made from the models, and the blocks of code with their tests."""
