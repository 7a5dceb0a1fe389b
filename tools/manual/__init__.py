"""Man pages, written from the definitions of the commands and of the configuration's keys."""
