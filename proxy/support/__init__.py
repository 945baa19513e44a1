"""What somebody who helps needs to know of an installation, and nothing of a patient or of a secret.

log_tail   the end of a log file, without the lines that may name a patient
versions   of the program, its packages and its machine
bundle     all pieces, and the archive they go into
"""
