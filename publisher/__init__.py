"""placeholder: the public names come here"""
