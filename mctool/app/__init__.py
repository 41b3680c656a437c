"""Use cases: configuration in, records out. Nothing here prints or ends the program."""
